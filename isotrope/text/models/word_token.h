#pragma once

#include <cstdint>

#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

/// A token of a word with the bytes of the word, `begin` to `end` excluded, that HF tokenizers says it comes from.
struct WordToken {
  TokenId id = 0;
  std::uint32_t begin = 0, end = 0;
  bool as_written = false;  ///< its name is what the word has there, not the vocabulary's (an unknown piece of Unigram)
};

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/files/token_dump.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// The first thing in which two encodings of a stretch of text differ.
struct TokenDifference {
  std::string what;          ///< "ids", "offsets", "decoded text" …
  std::size_t begin = 0;     ///< the byte of the whole text where it is
  std::string ours, theirs;  ///< what stands there
  std::string before, at;    ///< the text before that byte and from it on, some characters each
};

struct TokenizerCheck {
  std::size_t records = 0, tokens = 0, bytes = 0;
  std::size_t offsets = 0;    ///< records whose offsets were compared
  std::size_t decoded = 0;    ///< records whose decoded text was compared
  std::size_t different = 0;  ///< records that differ
  std::optional<TokenDifference> first;
};

/// Whether ids, offsets and decoded text of `text` are those of the dump. The ids are computed in both ways, the fast one and that of offsets. Throws
/// InputError for a broken dump or one of another text.
TokenizerCheck check_against(const Tokenizer& tokenizer, std::string_view text, std::string_view name, TokenDump& dump, int threads);

/// Whether a tokenizer agrees with itself: the ids of the way that gives offsets with those of the fast one, the ids of a whole with those of parts,
/// offsets with the text, and, where it keeps every byte, the decoded text with the text.
TokenizerCheck check_alone(const Tokenizer& tokenizer, std::string_view text, int threads);

}  // namespace isotrope

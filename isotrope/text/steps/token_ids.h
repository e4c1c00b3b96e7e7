#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace isotrope {

using TokenId = std::int32_t;  ///< the number of a token in a vocabulary

struct EncodeOptions {
  bool add_special_tokens = true;    ///< what the post-processor adds around the text (BOS, [CLS] …)
  bool parse_special_tokens = true;  ///< "<|endoftext|>" in the text becomes its id; otherwise it is plain text
  std::size_t max_length = 0;        ///< ids at most, what is added included: the end is cut off; 0: no limit
};

/// What a model reads: ids, and for each the number of the text that it counts to (token_type_ids).
struct TokenSequence {
  std::vector<TokenId> ids;
  std::vector<std::int32_t> types;
};

}  // namespace isotrope

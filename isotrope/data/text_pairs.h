#pragma once

#include <cstdint>
#include <vector>

#include "isotrope/base/random.h"
#include "isotrope/data/token_file.h"

namespace isotrope {

/// Two segments of text for next-sentence prediction (Devlin et al. 2019).
struct TextPair {
  std::vector<std::int64_t> first, second;
  bool random = false;  ///< the second one comes from another document; else it follows the first
};

/// A pair of together at most `tokens` ≥ 2 tokens, whose first segment begins in the document that token `begin` belongs to: as near to
/// `begin` as leaves room for both. The cut lies between a quarter and three quarters of the length, and half of the pairs are random; all
/// of it is a function of the file, `begin` and the stream. A document's end-of-text token belongs to no segment.
/// Throws InputError when the file has fewer than two documents of two tokens or more.
TextPair draw_pair(const TokenFile& file, std::uint64_t begin, std::uint64_t tokens, RandomStream& random);

/// Throws what draw_pair() would throw.
void expect_pairs(const TokenFile& file);

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <vector>

namespace isotrope {

/// Sequences that share beginnings, laid out in one row of tokens so that what they share stands there once: a part's tokens see those of
/// its parent's chain, then their own part up to themselves. Parents stand before their children, and no part is empty.
struct SequenceTree {
  struct Part {
    std::int64_t begin = 0, end = 0;  ///< its tokens in the row; those of all parts follow each other from 0 on
    std::int64_t parent = -1;         ///< its place in `parts`; −1: it begins a sequence
    std::int64_t first = 0;           ///< position of its first token in the sequence: where the parent ends
  };
  std::vector<Part> parts;

  std::int64_t tokens() const { return parts.empty() ? 0 : parts.back().end; }
  /// The position in its sequence of each token of the row.
  std::vector<std::int64_t> positions() const {
    std::vector<std::int64_t> all;
    for (const auto& part : parts)
      for (auto i = part.begin; i < part.end; ++i) all.push_back(part.first + i - part.begin);
    return all;
  }
};

}  // namespace isotrope

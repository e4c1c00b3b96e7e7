#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace isotrope {

/// Words of one stretch of text: word i is bytes [begins[i], ends[i]) of `base`. Sixteen bytes from where a word begins can be read, unless
/// the batch is one word.
struct WordBatch {
  const char* base;
  const std::uint32_t *begins, *ends;
  std::size_t count;
  std::string_view operator[](std::size_t i) const { return {base + begins[i], ends[i] - begins[i]}; }
};

}  // namespace isotrope

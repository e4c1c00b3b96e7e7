#pragma once

#include <cstddef>
#include <cstdint>

#include "isotrope/text/simd/variants.h"

namespace isotrope::simd {

/// What the 64 bytes of a block are, a bit each, the first byte's the lowest. letter, number and space speak of ASCII alone.
struct alignas(64) ByteMasks {
  std::uint64_t letter, number, space;
  std::uint64_t blank;    ///< U+0020
  std::uint64_t newline;  ///< U+000A and U+000D
  std::uint64_t quote;    ///< the apostrophe, U+0027
  std::uint64_t lead;     ///< first bytes of characters beyond ASCII
  std::uint64_t tail;     ///< their other bytes
};

/// Classifies `blocks` blocks of 64 bytes each.
using ByteMaskFunction = void (*)(const char* text, std::size_t blocks, ByteMasks* masks);
const Variants<ByteMaskFunction>& byte_masks();

}  // namespace isotrope::simd

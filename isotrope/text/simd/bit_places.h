#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace isotrope::simd {

/// Writes the places of a mask's set bits, plus `first`, to `out`; returns the end. Four at a time, without a look at how many there are:
/// up to three numbers behind the end, and four where the mask is empty, are overwritten.
inline std::uint32_t* put_bit_places(std::uint64_t bits, std::uint32_t first, std::uint32_t* out) {
  auto* const end = out + std::popcount(bits);
  do {
    for (int i = 0; i < 4; ++i, bits &= bits - 1) *out++ = first + static_cast<std::uint32_t>(std::countr_zero(bits));
  } while (bits != 0);
  return end;
}

/// Bits of first bytes spread over the rest of their UTF-8 characters; `carry` is the last bit of the block before.
inline std::uint64_t spread_over_tails(std::uint64_t bits, std::uint64_t tail, std::uint64_t carry) {
  for (int i = 0; i < 3; ++i) bits |= (bits << 1 | carry) & tail;
  return bits;
}

}  // namespace isotrope::simd

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "isotrope/text/simd/variants.h"

namespace isotrope::simd {

/// A set of ASCII characters: bit `c >> 4` of rows[c & 15] says whether c belongs.
struct AsciiSet {
  alignas(16) std::array<std::uint8_t, 16> rows{};
  void add(unsigned char ascii) { rows[ascii & 15] |= static_cast<std::uint8_t>(1u << (ascii >> 4)); }
  bool has(unsigned char byte) const { return byte < 0x80 && (rows[byte & 15] >> (byte >> 4) & 1) != 0; }
};

/// Which of the 64 bytes of a block belong to each of four sets, a bit each, the first byte's the lowest, and which are beyond ASCII.
struct ByteSetMasks {
  std::array<std::uint64_t, 4> in;
  std::uint64_t wide;
};

using ByteSetFunction = void (*)(const char* text, std::size_t blocks, const std::array<AsciiSet, 4>& sets, ByteSetMasks* masks);
const Variants<ByteSetFunction>& byte_sets();

}  // namespace isotrope::simd

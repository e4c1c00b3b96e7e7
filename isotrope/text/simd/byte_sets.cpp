#include "isotrope/text/simd/byte_sets.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace isotrope::simd {

namespace {

void plain(const char* text, std::size_t blocks, const std::array<AsciiSet, 4>& sets, ByteSetMasks* masks) {
  for (std::size_t block = 0; block < blocks; ++block, text += 64) {
    ByteSetMasks found{};
    for (int i = 0; i < 64; ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      for (std::size_t set = 0; set < sets.size(); ++set) found.in[set] |= static_cast<std::uint64_t>(sets[set].has(byte)) << i;
      found.wide |= static_cast<std::uint64_t>(byte >= 0x80) << i;
    }
    masks[block] = found;
  }
}

#if defined(__x86_64__)

/// By two looks at tables of sixteen bytes (Langdale and Lemire 2019): the row of the lower half, and the bit of the upper half, 0 beyond ASCII.
constexpr long long upper_bits_low = 0x8040201008040201, upper_bits_high = 0;

__attribute__((target("avx2"))) void avx2(const char* text, std::size_t blocks, const std::array<AsciiSet, 4>& sets, ByteSetMasks* masks) {
  const __m256i halves = _mm256_set1_epi8(15),
                bit_table = _mm256_set_epi64x(upper_bits_high, upper_bits_low, upper_bits_high, upper_bits_low);
  __m256i rows[4];
  for (std::size_t set = 0; set < 4; ++set)
    rows[set] = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(sets[set].rows.data())));
  for (std::size_t block = 0; block < blocks; ++block) {
    ByteSetMasks found{};
    for (int part = 0; part < 64; part += 32, text += 32) {
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text));
      const __m256i lower = _mm256_and_si256(bytes, halves), upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), halves);
      const __m256i bit = _mm256_shuffle_epi8(bit_table, upper);
      for (std::size_t set = 0; set < 4; ++set) {
        const __m256i outside = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(rows[set], lower), bit), _mm256_setzero_si256());
        found.in[set] |= static_cast<std::uint64_t>(~static_cast<std::uint32_t>(_mm256_movemask_epi8(outside))) << part;
      }
      found.wide |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes))) << part;
    }
    masks[block] = found;
  }
}

__attribute__((target("avx512f,avx512bw"))) void avx512(const char* text, std::size_t blocks, const std::array<AsciiSet, 4>& sets,
                                                        ByteSetMasks* masks) {
  const __m512i halves = _mm512_set1_epi8(15);
  const __m512i bit_table = _mm512_set_epi64(upper_bits_high, upper_bits_low, upper_bits_high, upper_bits_low, upper_bits_high,
                                             upper_bits_low, upper_bits_high, upper_bits_low);
  __m512i rows[4];
  for (std::size_t set = 0; set < 4; ++set)  // with a mask of all: GCC 12 warns of the plain form's own header
    rows[set] = _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_load_si128(reinterpret_cast<const __m128i*>(sets[set].rows.data())));
  for (std::size_t block = 0; block < blocks; ++block, text += 64) {
    const __m512i bytes = _mm512_loadu_si512(text);
    const __m512i lower = _mm512_and_si512(bytes, halves), upper = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), halves);
    const __m512i bit = _mm512_shuffle_epi8(bit_table, upper);
    for (std::size_t set = 0; set < 4; ++set) masks[block].in[set] = _mm512_test_epi8_mask(_mm512_shuffle_epi8(rows[set], lower), bit);
    masks[block].wide = _mm512_movepi8_mask(bytes);
  }
}

#endif

}  // namespace

const Variants<ByteSetFunction>& byte_sets() {
  static const Variants<ByteSetFunction> variants{
#if defined(__x86_64__)
      {"avx512", avx512},
      {"avx2", avx2},
#endif
      {"plain", plain},
  };
  return variants;
}

}  // namespace isotrope::simd

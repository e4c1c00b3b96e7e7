#include "isotrope/text/simd/utf8_blocks.h"

#include <array>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace isotrope::simd {

namespace {

std::size_t none(std::string_view) { return 0; }

#if defined(__x86_64__)

/// What can be wrong with two neighbouring bytes, a bit each (Keiser and Lemire 2021, "Validating UTF-8 in less than one instruction per
/// byte"): each holds for some high halves of the first byte, some low halves of it, and some high halves of the second. `pair`: two
/// bytes that continue a character, which is right exactly where a byte before them says so.
enum Fault : std::uint8_t { no_tail = 1, stray_tail = 2, long_2 = 4, long_3 = 8, surrogate = 16, long_4 = 32, beyond = 64, pair = 128 };

struct Tables {
  std::array<std::uint8_t, 16> first_high{}, first_low{}, second_high{};
};

constexpr Tables make_tables() {
  Tables tables;
  const auto put = [&](std::uint8_t fault, unsigned high, unsigned high_end, unsigned low, unsigned low_end, unsigned second,
                       unsigned second_end) {
    for (auto i = high; i < high_end; ++i) tables.first_high[i] |= fault;
    for (auto i = low; i < low_end; ++i) tables.first_low[i] |= fault;
    for (auto i = second; i < second_end; ++i) tables.second_high[i] |= fault;
  };
  put(no_tail, 0xC, 0x10, 0, 16, 0x0, 0x8);  // a first byte, then no tail …
  put(no_tail, 0xC, 0x10, 0, 16, 0xC, 0x10);
  put(stray_tail, 0x0, 0x8, 0, 16, 0x8, 0xC);  // ASCII, then a tail
  put(long_2, 0xC, 0xD, 0, 2, 0x8, 0xC);       // C0, C1
  put(long_3, 0xE, 0xF, 0, 1, 0x8, 0xA);       // E0 80 … E0 9F
  put(surrogate, 0xE, 0xF, 0xD, 0xE, 0xA, 0xC);
  put(long_4, 0xF, 0x10, 0, 1, 0x8, 0x9);   // F0 80 … F0 8F
  put(long_4, 0xF, 0x10, 5, 16, 0x8, 0x9);  // F5 80 … FF 8F, which share that bit
  put(beyond, 0xF, 0x10, 4, 16, 0x9, 0xC);  // F4 90 … FF BF
  put(pair, 0x8, 0xC, 0, 16, 0x8, 0xC);
  return tables;
}

constexpr Tables tables = make_tables();

__attribute__((target("avx2"))) inline __m256i table(const std::array<std::uint8_t, 16>& bytes) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes.data())));
}

/// The bytes `count` before those of `bytes`, which follow `before`.
template <int count>
__attribute__((target("avx2"))) inline __m256i earlier(__m256i bytes, __m256i before) {
  return _mm256_alignr_epi8(bytes, _mm256_permute2x128_si256(before, bytes, 0x21), 16 - count);
}

__attribute__((target("avx2"))) inline __m256i high_half(__m256i bytes) {
  return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0F));
}

/// Not 0 where a byte and the one before it cannot be.
__attribute__((target("avx2"))) inline __m256i faults(__m256i bytes, __m256i before) {
  const __m256i half = _mm256_set1_epi8(0x0F);
  const __m256i first = earlier<1>(bytes, before);
  const __m256i found = _mm256_and_si256(_mm256_and_si256(_mm256_shuffle_epi8(table(tables.first_high), high_half(first)),
                                                          _mm256_shuffle_epi8(table(tables.first_low), _mm256_and_si256(first, half))),
                                         _mm256_shuffle_epi8(table(tables.second_high), high_half(bytes)));
  // A third or fourth byte must be the second of a pair of tails, and no other byte may be: the top bits of the two agree.
  const __m256i third = _mm256_subs_epu8(earlier<2>(bytes, before), _mm256_set1_epi8(static_cast<char>(0xE0 - 0x80)));
  const __m256i fourth = _mm256_subs_epu8(earlier<3>(bytes, before), _mm256_set1_epi8(static_cast<char>(0xF0 - 0x80)));
  const __m256i due = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8(static_cast<char>(0x80)));
  return _mm256_xor_si256(found, due);
}

/// The start of the character that the first `end` bytes end in the middle of, or `end`.
std::size_t whole_characters(std::string_view text, std::size_t end) {
  for (std::size_t back = 1; back <= 3 && back <= end; ++back) {
    const auto byte = static_cast<unsigned char>(text[end - back]);
    if (byte < 0x80) return end;
    if (byte < 0xC0) continue;
    const std::size_t length = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    return length > back ? end - back : end;
  }
  return end;
}

__attribute__((target("avx2"))) std::size_t avx2(std::string_view text) {
  __m256i before = _mm256_setzero_si256();
  std::size_t position = 0;
  for (; position + 64 <= text.size(); position += 64) {
    const auto* at = reinterpret_cast<const __m256i*>(text.data() + position);
    const __m256i low = _mm256_loadu_si256(at), high = _mm256_loadu_si256(at + 1);
    if (_mm256_movemask_epi8(_mm256_or_si256(low, high)) == 0) {
      if (whole_characters(text, position) != position) break;
    } else {
      const __m256i found = _mm256_or_si256(faults(low, before), faults(high, low));
      if (!_mm256_testz_si256(found, found)) break;
    }
    before = high;
  }
  return whole_characters(text, position);
}

#endif

}  // namespace

Utf8Function valid_utf8_blocks() {
#if defined(__x86_64__)
  static const Utf8Function function = __builtin_cpu_supports("avx2") ? avx2 : none;
  return function;
#else
  return none;
#endif
}

}  // namespace isotrope::simd

#include "isotrope/text/simd/byte_masks.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace isotrope::simd {

namespace {

void plain(const char* text, std::size_t blocks, ByteMasks* masks) {
  for (std::size_t block = 0; block < blocks; ++block, text += 64) {
    ByteMasks found{};
    for (int i = 0; i < 64; ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      const auto put = [&](std::uint64_t& mask, bool belongs) { mask |= static_cast<std::uint64_t>(belongs) << i; };
      put(found.letter, static_cast<unsigned char>((byte | 0x20) - 'a') < 26);
      put(found.number, static_cast<unsigned char>(byte - '0') < 10);
      put(found.space, byte == ' ' || static_cast<unsigned char>(byte - '\t') < 5);
      put(found.blank, byte == ' ');
      put(found.newline, byte == '\n' || byte == '\r');
      put(found.quote, byte == '\'');
      put(found.lead, byte >= 0xC0);
      put(found.tail, byte >= 0x80 && byte < 0xC0);
    }
    masks[block] = found;
  }
}

#if defined(__x86_64__)

/// Sixteen bytes at a time: SSE2, which every x86-64 processor has. Unsigned `x < n` is spelled min(x, n − 1) == x.
void sse2(const char* text, std::size_t blocks, ByteMasks* masks) {
  const auto all = [](char c) { return _mm_set1_epi8(c); };
  for (std::size_t block = 0; block < blocks; ++block) {
    ByteMasks found{};
    for (int part = 0; part < 64; part += 16, text += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
      const auto put = [&](std::uint64_t& mask, __m128i belongs) {
        mask |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm_movemask_epi8(belongs))) << part;
      };
      const auto below = [&](__m128i x, char last) { return _mm_cmpeq_epi8(_mm_min_epu8(x, all(last)), x); };
      const auto is = [&](char c) { return _mm_cmpeq_epi8(bytes, all(c)); };
      put(found.letter, below(_mm_sub_epi8(_mm_or_si128(bytes, all(0x20)), all('a')), 25));
      put(found.number, below(_mm_sub_epi8(bytes, all('0')), 9));
      const __m128i blank = is(' ');
      put(found.blank, blank);
      put(found.space, _mm_or_si128(blank, below(_mm_sub_epi8(bytes, all('\t')), 4)));
      put(found.newline, _mm_or_si128(is('\n'), is('\r')));
      put(found.quote, is('\''));
      const __m128i tail = _mm_cmplt_epi8(bytes, all(static_cast<char>(0xC0)));  // signed: 0x80 … 0xBF are the smallest
      put(found.tail, tail);
      put(found.lead, _mm_andnot_si128(tail, bytes));  // movemask takes the top bit
    }
    masks[block] = found;
  }
}

__attribute__((target("avx2"))) void avx2(const char* text, std::size_t blocks, ByteMasks* masks) {
  const __m256i case_bit = _mm256_set1_epi8(0x20), a = _mm256_set1_epi8('a'), zero = _mm256_set1_epi8('0'), tab = _mm256_set1_epi8('\t'),
                last_letter = _mm256_set1_epi8(25), last_number = _mm256_set1_epi8(9), last_space = _mm256_set1_epi8(4),
                feed = _mm256_set1_epi8('\n'), carriage = _mm256_set1_epi8('\r'), apostrophe = _mm256_set1_epi8('\''),
                first_lead = _mm256_set1_epi8(static_cast<char>(0xC0));
  for (std::size_t block = 0; block < blocks; ++block) {
    ByteMasks found{};
    for (int part = 0; part < 64; part += 32, text += 32) {
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text));
      const __m256i letter = _mm256_sub_epi8(_mm256_or_si256(bytes, case_bit), a), number = _mm256_sub_epi8(bytes, zero),
                    control = _mm256_sub_epi8(bytes, tab), blank = _mm256_cmpeq_epi8(bytes, case_bit),
                    tail = _mm256_cmpgt_epi8(first_lead, bytes);
#define ISOTROPE_PUT(mask, belongs) mask |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(belongs))) << part
      ISOTROPE_PUT(found.letter, _mm256_cmpeq_epi8(_mm256_min_epu8(letter, last_letter), letter));
      ISOTROPE_PUT(found.number, _mm256_cmpeq_epi8(_mm256_min_epu8(number, last_number), number));
      ISOTROPE_PUT(found.blank, blank);
      ISOTROPE_PUT(found.space, _mm256_or_si256(blank, _mm256_cmpeq_epi8(_mm256_min_epu8(control, last_space), control)));
      ISOTROPE_PUT(found.newline, _mm256_or_si256(_mm256_cmpeq_epi8(bytes, feed), _mm256_cmpeq_epi8(bytes, carriage)));
      ISOTROPE_PUT(found.quote, _mm256_cmpeq_epi8(bytes, apostrophe));
      ISOTROPE_PUT(found.tail, tail);
      ISOTROPE_PUT(found.lead, _mm256_andnot_si256(tail, bytes));
#undef ISOTROPE_PUT
    }
    masks[block] = found;
  }
}

__attribute__((target("avx512f,avx512bw"))) void avx512(const char* text, std::size_t blocks, ByteMasks* masks) {
  const __m512i case_bit = _mm512_set1_epi8(0x20), a = _mm512_set1_epi8('a'), zero = _mm512_set1_epi8('0'), tab = _mm512_set1_epi8('\t'),
                letters = _mm512_set1_epi8(26), numbers = _mm512_set1_epi8(10), controls = _mm512_set1_epi8(5),
                feed = _mm512_set1_epi8('\n'), carriage = _mm512_set1_epi8('\r'), apostrophe = _mm512_set1_epi8('\''),
                first_lead = _mm512_set1_epi8(static_cast<char>(0xC0));
  for (std::size_t block = 0; block < blocks; ++block, text += 64) {
    const __m512i bytes = _mm512_loadu_si512(text);
    ByteMasks& found = masks[block];
    found.letter = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(_mm512_or_si512(bytes, case_bit), a), letters);
    found.number = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, zero), numbers);
    found.blank = _mm512_cmpeq_epi8_mask(bytes, case_bit);
    found.space = found.blank | _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, tab), controls);
    found.newline = _mm512_cmpeq_epi8_mask(bytes, feed) | _mm512_cmpeq_epi8_mask(bytes, carriage);
    found.quote = _mm512_cmpeq_epi8_mask(bytes, apostrophe);
    found.tail = _mm512_cmplt_epi8_mask(bytes, first_lead);
    found.lead = _mm512_movepi8_mask(bytes) & ~found.tail;
  }
}

#endif

}  // namespace

const Variants<ByteMaskFunction>& byte_masks() {
  static const Variants<ByteMaskFunction> variants{
#if defined(__x86_64__)
      {"avx512", avx512},
      {"avx2", avx2},
      {"sse2", sse2},
#endif
      {"plain", plain},
  };
  return variants;
}

}  // namespace isotrope::simd

#include "isotrope/text/simd/bert_masks.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace isotrope::simd {

namespace {

void plain(const char* text, std::size_t blocks, bool lowercase, char* copy, BertMasks* masks) {
  for (std::size_t block = 0; block < blocks; ++block, text += 64, copy += 64) {
    BertMasks found{};
    for (int i = 0; i < 64; ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      const auto put = [&](std::uint64_t& mask, bool belongs) { mask |= static_cast<std::uint64_t>(belongs) << i; };
      const auto within = [&](unsigned first, unsigned count) { return static_cast<unsigned char>(byte - first) < count; };
      const bool capital = within('A', 26), letter = capital || within('a', 26), digit = within('0', 10);
      const bool separator = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
      put(found.separator, separator);
      put(found.alone, within('!', 94) && !letter && !digit);
      put(found.odd, byte >= 0xC0 || byte == 0x7F || (byte < 0x20 && !separator));
      put(found.tail, byte >= 0x80 && byte < 0xC0);
      copy[i] = static_cast<char>(capital && lowercase ? byte + 32 : byte);
    }
    masks[block] = found;
  }
}

#if defined(__x86_64__)

/// Sixteen bytes at a time: SSE2, which every x86-64 processor has. Unsigned `x < n` is spelled min(x, n − 1) == x.
void sse2(const char* text, std::size_t blocks, bool lowercase, char* copy, BertMasks* masks) {
  const auto all = [](int c) { return _mm_set1_epi8(static_cast<char>(c)); };
  const auto bits = [](__m128i belongs) { return static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm_movemask_epi8(belongs))); };
  const __m128i case_bit = all(lowercase ? 0x20 : 0);
  for (std::size_t block = 0; block < blocks; ++block) {
    BertMasks found{};
    for (int part = 0; part < 64; part += 16, text += 16, copy += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
      const auto within = [&](int first, int count) {
        const __m128i x = _mm_sub_epi8(bytes, all(first));
        return _mm_cmpeq_epi8(_mm_min_epu8(x, all(count - 1)), x);
      };
      const auto is = [&](int c) { return _mm_cmpeq_epi8(bytes, all(c)); };
      const __m128i capital = within('A', 26), plain_word = _mm_or_si128(_mm_or_si128(capital, within('a', 26)), within('0', 10));
      const __m128i separator = _mm_or_si128(_mm_or_si128(is(' '), is('\t')), _mm_or_si128(is('\n'), is('\r')));
      const __m128i odd = _mm_or_si128(_mm_or_si128(within(0xC0, 0x40), within(0, 0x20)), is(0x7F));
      found.separator |= bits(separator) << part;
      found.alone |= bits(_mm_andnot_si128(plain_word, within('!', 94))) << part;
      found.odd |= bits(_mm_andnot_si128(separator, odd)) << part;
      found.tail |= bits(within(0x80, 0x40)) << part;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(copy), _mm_add_epi8(bytes, _mm_and_si128(capital, case_bit)));
    }
    masks[block] = found;
  }
}

__attribute__((target("avx2"))) inline __m256i within(__m256i bytes, int first, int count) {
  const __m256i x = _mm256_sub_epi8(bytes, _mm256_set1_epi8(static_cast<char>(first)));
  return _mm256_cmpeq_epi8(_mm256_min_epu8(x, _mm256_set1_epi8(static_cast<char>(count - 1))), x);
}

__attribute__((target("avx2"))) inline __m256i is(__m256i bytes, int c) {
  return _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(static_cast<char>(c)));
}

__attribute__((target("avx2"))) inline std::uint64_t bits(__m256i belongs) {
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(belongs));
}

__attribute__((target("avx2"))) void avx2(const char* text, std::size_t blocks, bool lowercase, char* copy, BertMasks* masks) {
  const __m256i case_bit = _mm256_set1_epi8(lowercase ? 0x20 : 0);
  for (std::size_t block = 0; block < blocks; ++block) {
    BertMasks found{};
    for (int part = 0; part < 64; part += 32, text += 32, copy += 32) {
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text));
      const __m256i capital = within(bytes, 'A', 26),
                    plain_word = _mm256_or_si256(_mm256_or_si256(capital, within(bytes, 'a', 26)), within(bytes, '0', 10));
      const __m256i separator =
          _mm256_or_si256(_mm256_or_si256(is(bytes, ' '), is(bytes, '\t')), _mm256_or_si256(is(bytes, '\n'), is(bytes, '\r')));
      const __m256i odd = _mm256_or_si256(_mm256_or_si256(within(bytes, 0xC0, 0x40), within(bytes, 0, 0x20)), is(bytes, 0x7F));
      found.separator |= bits(separator) << part;
      found.alone |= bits(_mm256_andnot_si256(plain_word, within(bytes, '!', 94))) << part;
      found.odd |= bits(_mm256_andnot_si256(separator, odd)) << part;
      found.tail |= bits(within(bytes, 0x80, 0x40)) << part;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(copy), _mm256_add_epi8(bytes, _mm256_and_si256(capital, case_bit)));
    }
    masks[block] = found;
  }
}

__attribute__((target("avx512f,avx512bw"))) inline std::uint64_t within(__m512i bytes, int first, int count) {
  const __m512i x = _mm512_sub_epi8(bytes, _mm512_set1_epi8(static_cast<char>(first)));
  return _mm512_cmplt_epu8_mask(x, _mm512_set1_epi8(static_cast<char>(count)));
}

__attribute__((target("avx512f,avx512bw"))) inline std::uint64_t is(__m512i bytes, int c) {
  return _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(static_cast<char>(c)));
}

__attribute__((target("avx512f,avx512bw"))) void avx512(const char* text, std::size_t blocks, bool lowercase, char* copy,
                                                        BertMasks* masks) {
  const __m512i case_bit = _mm512_set1_epi8(lowercase ? 0x20 : 0);
  for (std::size_t block = 0; block < blocks; ++block, text += 64, copy += 64) {
    const __m512i bytes = _mm512_loadu_si512(text);
    const auto capital = within(bytes, 'A', 26);
    const auto separator = is(bytes, ' ') | is(bytes, '\t') | is(bytes, '\n') | is(bytes, '\r');
    masks[block] = {.separator = separator,
                    .alone = within(bytes, '!', 94) & ~(capital | within(bytes, 'a', 26) | within(bytes, '0', 10)),
                    .odd = (within(bytes, 0xC0, 0x40) | within(bytes, 0, 0x20) | is(bytes, 0x7F)) & ~separator,
                    .tail = within(bytes, 0x80, 0x40)};
    _mm512_storeu_si512(copy, _mm512_mask_add_epi8(bytes, capital, bytes, case_bit));
  }
}

#endif

}  // namespace

const Variants<BertMaskFunction>& bert_masks() {
  static const Variants<BertMaskFunction> variants{
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

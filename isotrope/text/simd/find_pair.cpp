#include "isotrope/text/simd/find_pair.h"

#include <algorithm>
#include <bit>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace isotrope::simd {

std::size_t find_pair(std::string_view text, std::size_t position, char first, char second) {
#if defined(__x86_64__)
  // SSE2, which every x86-64 processor has.
  const __m128i firsts = _mm_set1_epi8(first), seconds = _mm_set1_epi8(second);
  for (; position + 17 <= text.size(); position += 16) {
    const auto* at = text.data() + position;
    const __m128i here = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)), firsts);
    const __m128i behind = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 1)), seconds);
    if (const auto found = static_cast<unsigned>(_mm_movemask_epi8(_mm_and_si128(here, behind))); found != 0)
      return position + static_cast<std::size_t>(std::countr_zero(found));
  }
#endif
  const char pair[] = {first, second};
  return std::min(text.find(std::string_view(pair, 2), position), text.size());
}

}  // namespace isotrope::simd

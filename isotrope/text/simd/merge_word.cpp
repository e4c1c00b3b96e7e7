#include "isotrope/text/simd/merge_word.h"

#include <bit>
#include <climits>

namespace isotrope::simd {

namespace {

/// The pairs' keys (order · 64 + place of the left one) lie in an array; the smallest names the next merge. Tokens that were merged away
/// are holes, told by a bit each. Inlined into a function for each instruction set, which vectorizes the search.
__attribute__((always_inline)) inline std::size_t merge(const MergeTables& tables, const char* word, std::size_t size, std::int32_t* ids) {
  constexpr int none = INT_MAX;
  alignas(64) int keys[longest_short_word];
  std::int32_t tokens[longest_short_word];
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(word[i]); };
  const auto key = [&](std::uint32_t order, std::size_t place) {
    return order == MergeTables::no_order ? none : static_cast<int>(order << 6 | static_cast<std::uint32_t>(place));
  };
  const std::size_t padded = (size + 15) / 16 * 16;
  for (std::size_t i = 0; i < padded; ++i) keys[i] = none;
  for (std::size_t i = 0; i < size; ++i) tokens[i] = tables.byte_ids[byte(i)];
  for (std::size_t i = 0; i + 1 < size; ++i) keys[i] = key(tables.byte_orders[byte(i) << 8 | byte(i + 1)], i);
  auto alive = size == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << size) - 1;
  for (;;) {
    int best = none;
    for (std::size_t first = 0; first < padded; first += 16)
      for (std::size_t i = first; i < first + 16; ++i) best = keys[i] < best ? keys[i] : best;
    if (best == none) break;
    const auto place = static_cast<std::size_t>(best) & 63;
    auto behind = alive & (~std::uint64_t{1} << place);
    keys[std::countr_zero(behind)] = none;
    alive &= ~(behind & -behind);
    behind &= behind - 1;
    const auto token = tokens[place] = tables.result(static_cast<std::uint32_t>(best) >> 6);
    keys[place] = behind == 0 ? none : key(tables.order(token, tokens[std::countr_zero(behind)]), place);
    if (const auto before = alive & ((std::uint64_t{1} << place) - 1)) {
      const auto left = static_cast<std::size_t>(63 - std::countl_zero(before));
      keys[left] = key(tables.order(tokens[left], token), left);
    }
  }
  std::size_t count = 0;
  for (; alive != 0; alive &= alive - 1) ids[count++] = tokens[std::countr_zero(alive)];
  return count;
}

std::size_t merge_baseline(const MergeTables& tables, const char* word, std::size_t size, std::int32_t* ids) {
  return merge(tables, word, size, ids);
}

#if defined(__x86_64__)
__attribute__((target("arch=x86-64-v3"))) std::size_t merge_avx2(const MergeTables& tables, const char* word, std::size_t size,
                                                                 std::int32_t* ids) {
  return merge(tables, word, size, ids);
}
__attribute__((target("arch=x86-64-v4"))) std::size_t merge_avx512(const MergeTables& tables, const char* word, std::size_t size,
                                                                   std::int32_t* ids) {
  return merge(tables, word, size, ids);
}
#endif

}  // namespace

MergeFunction merge_short_word() {
#if defined(__x86_64__)
  static const MergeFunction function = __builtin_cpu_supports("avx512vl")                                 ? merge_avx512
                                        : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? merge_avx2
                                                                                                           : merge_baseline;
  return function;
#else
  return merge_baseline;
#endif
}

}  // namespace isotrope::simd

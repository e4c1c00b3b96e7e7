#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

namespace isotrope::simd {

/// Those of a function's variants, each with the name of its instruction set ("avx512", "avx2", "sse2", "plain"), that this processor runs.
template <class Variant>
std::vector<Variant> usable_variants(std::initializer_list<Variant> all) {
  std::vector<Variant> usable;
  for (const auto& variant : all) {
    [[maybe_unused]] const std::string_view name = variant.name;
#if defined(__x86_64__)
    if (name == "avx512" && !__builtin_cpu_supports("avx512bw")) continue;
    if (name == "avx2" && !__builtin_cpu_supports("avx2")) continue;
#endif
    usable.push_back(variant);
  }
  return usable;
}

}  // namespace isotrope::simd

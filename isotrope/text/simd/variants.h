#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace isotrope::simd {

/// One way to compute a function, with the name of its instruction set: "avx512" (with BW), "avx2", "sse2" or "plain", which is C++ alone.
template <class Function>
struct Variant {
  std::string_view name;
  Function function;
};

/// Those variants of a function that this processor runs, the fastest first.
template <class Function>
class Variants {
 public:
  /// The last one is plain.
  Variants(std::initializer_list<Variant<Function>> all) {
    for (const auto& variant : all)
      if (runs(variant.name)) usable_.push_back(variant);
  }
  std::span<const Variant<Function>> all() const { return usable_; }
  Function fastest() const { return usable_.front().function; }

 private:
  static bool runs([[maybe_unused]] std::string_view name) {
#if defined(__x86_64__)
    if (name == "avx512") return __builtin_cpu_supports("avx512bw");
    if (name == "avx2") return __builtin_cpu_supports("avx2");
#endif
    return true;
  }

  std::vector<Variant<Function>> usable_;
};

}  // namespace isotrope::simd

#pragma once

#include <c10/util/BFloat16.h>

#include <bit>
#include <cmath>
#include <cstdint>

/// A function with this attribute is compiled once per instruction set (AVX-512, AVX2, baseline) from its one text; the loader picks at
/// run time. Its loops are plain; `#pragma omp simd` allows reductions to be reordered inside one vector.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define ISOTROPE_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ISOTROPE_MULTIVERSION
#endif

namespace isotrope::simd {

using c10::BFloat16;

inline float load(float value) { return value; }
inline float load(BFloat16 value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value.x) << 16); }

inline void store(float& to, float value) { to = value; }
/// Round to nearest even; NaN stays NaN. Without branches, so that loops over it become vectors.
inline void store(BFloat16& to, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  to.x = static_cast<std::uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : rounded);
}

/// e^x to 2 units in the last place, 0 below −87.3, +inf above 88.7; NaN stays NaN. Cephes' range reduction, degree 6, no branches.
inline float exp(float x) {
  const float clamped = x < -87.33654f ? -87.33654f : (x > 88.72283f ? 88.72283f : x);
  const float n = __builtin_floorf(clamped * 1.44269504f + 0.5f);
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // Two factors, because 2^128 (n of the largest arguments) does not fit one.
  const auto half = static_cast<std::int32_t>(n) / 2, rest = static_cast<std::int32_t>(n) - half;
  const float value = p * std::bit_cast<float>((half + 127) << 23) * std::bit_cast<float>((rest + 127) << 23);
  return x < -87.33654f ? 0.0f : (x > 88.72283f ? __builtin_inff() : (x != x ? x : value));
}

}  // namespace isotrope::simd

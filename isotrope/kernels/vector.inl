// Sixteen floats at a time, by the compiler's own vector types: one text, compiled for each instruction set by for_each_isa.h.
// Included inside a namespace; only operators, so that 64 bytes become one register, two or four.

using Floats = float __attribute__((vector_size(64)));
using Ints = std::int32_t __attribute__((vector_size(64)));
using Words = std::uint32_t __attribute__((vector_size(64)));
using Halves = std::uint16_t __attribute__((vector_size(32)));
constexpr std::int64_t lanes = 16;

inline Floats splat(float x) { return x - Floats{}; }

inline Floats load(const float* from) {
  Floats x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

inline Floats load(const c10::BFloat16* from) {
#if ISOTROPE_ISA_LEVEL >= 2
  // GCC 12 widens a vector in two halves that it puts together again.
  const auto bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(from)));
  return reinterpret_cast<Floats>(_mm512_slli_epi32(bits, 16));
#else
  Halves x;
  std::memcpy(&x, from, sizeof x);
  return reinterpret_cast<Floats>(__builtin_convertvector(x, Words) << 16);
#endif
}

inline void store(float* to, Floats x) { std::memcpy(to, &x, sizeof x); }

/// The bits of x rounded to bf16 (nearest even; NaN stays NaN), in the lower half of each word. The instruction makes zeros of denormals.
inline Words bf16_bits(Floats x) {
#if ISOTROPE_ISA_LEVEL >= 3
  return __builtin_convertvector(reinterpret_cast<Halves>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(x))), Words);
#else
  const auto bits = reinterpret_cast<Words>(x);
  const Words rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  return x == x ? rounded : Words{} + 0x7FC0u;
#endif
}

inline void store(c10::BFloat16* to, Floats x) {
#if ISOTROPE_ISA_LEVEL >= 3
  const auto halves = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(x));
#else
  const auto halves = __builtin_convertvector(bf16_bits(x), Halves);
#endif
  std::memcpy(static_cast<void*>(to), &halves, sizeof halves);
}

/// The first n < 16 elements; the other lanes are zero.
template <class T>
inline Floats load_part(const T* from, std::int64_t n) {
  T all[lanes] = {};
  std::memcpy(static_cast<void*>(all), from, static_cast<std::size_t>(n) * sizeof(T));
  return load(all);
}

template <class T>
inline void store_part(T* to, Floats x, std::int64_t n) {
  T all[lanes];
  store(all, x);
  std::memcpy(static_cast<void*>(to), all, static_cast<std::size_t>(n) * sizeof(T));
}

template <class T>
inline Floats load_upto(const T* from, std::int64_t n) {
  return n >= lanes ? load(from) : load_part(from, n);
}

template <class T>
inline void store_upto(T* to, Floats x, std::int64_t n) {
  if (n >= lanes) store(to, x);
  else store_part(to, x, n);
}

/// x in the lanes below n, `otherwise` in the rest.
inline Floats first_lanes(Floats x, std::int64_t n, float otherwise) {
  constexpr Ints index{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return index < static_cast<std::int32_t>(n) ? x : splat(otherwise);
}

/// x in the lanes from n on, `otherwise` in those below.
inline Floats lanes_from(Floats x, std::int64_t n, float otherwise) {
  constexpr Ints index{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return index < static_cast<std::int32_t>(n) ? splat(otherwise) : x;
}

inline Floats max(Floats a, Floats b) { return a > b ? a : b; }

inline float sum_of(Floats x) {
  float all[lanes];
  store(all, x);
  for (std::int64_t step = lanes / 2; step > 0; step /= 2)
    for (std::int64_t i = 0; i < step; ++i) all[i] += all[i + step];
  return all[0];
}

inline float max_of(Floats x) {
  float all[lanes];
  store(all, x);
  float top = all[0];
  for (std::int64_t i = 1; i < lanes; ++i) top = all[i] > top ? all[i] : top;
  return top;
}

/// e^x to 2 units in the last place, 0 below −87.3, +inf above 88.7; NaN stays NaN. Cephes' range reduction, degree 6.
inline Floats exp(Floats x) {
  const Floats low = splat(-87.33654f), high = splat(88.72283f);
  const Floats clamped = x < low ? low : (x > high ? high : x);
  const Floats shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5 · 2^23: rounds to the nearest integer, left in the low bits
  const Floats n = shifted - 12582912.0f;
  const Floats r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // p · 2^n in two factors, because 2^128 does not fit one.
  const Ints power = reinterpret_cast<Ints>(shifted) - 0x4B400000, half = power >> 1, rest = power - half;
  const Floats value = p * reinterpret_cast<Floats>((half + 127) << 23) * reinterpret_cast<Floats>((rest + 127) << 23);
  return x < low ? Floats{} : (x > high ? splat(__builtin_inff()) : value);
}

/// 2^x for x < 128, 0 below −126; NaN stays NaN; 2e-7 of the value. Minimax polynomial of degree 5 on [−½, ½], exact at 0.
inline Floats exp2_below_128(Floats x) {
  const Floats low = splat(-126.0f), clamped = x < low ? low : x;
  const Floats shifted = clamped + 12582912.0f;
  const Floats r = clamped - (shifted - 12582912.0f);
  Floats p = splat(1.3264725e-3f);
  p = p * r + 9.671513e-3f;
  p = p * r + 5.5507336e-2f;
  p = p * r + 2.4022242e-1f;
  p = p * r + 6.9314700e-1f;
  p = p * r + 1.0f;
  const Floats value = reinterpret_cast<Floats>(reinterpret_cast<Ints>(p) + (reinterpret_cast<Ints>(shifted) << 23));
  return x < low ? Floats{} : value;
}

/// Transposes 16 × 16 words in place: four rounds of exchanging halves of ever smaller pairs of rows.
inline void transpose(Words (&rows)[lanes]) {
  using Shuffle = Words;
  constexpr Shuffle low[4] = {{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23},
                              {0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27},
                              {0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29},
                              {0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30}};
  constexpr Shuffle high[4] = {{8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31},
                               {4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31},
                               {2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31},
                               {1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31}};
#pragma GCC unroll 4
  for (int round = 0; round < 4; ++round) {
    const int step = 8 >> round;
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i)
      if ((i & step) == 0) {
        const Words a = rows[i], b = rows[i + step];
#ifdef __clang__
        for (int lane = 0; lane < lanes; ++lane) {
          const auto from = [&](auto place) { return place < lanes ? a[place] : b[place - lanes]; };
          rows[i][lane] = from(low[round][lane]);
          rows[i + step][lane] = from(high[round][lane]);
        }
#else
        rows[i] = __builtin_shuffle(a, b, low[round]);
        rows[i + step] = __builtin_shuffle(a, b, high[round]);
#endif
      }
  }
}

/// Lane i: the sum of the lanes of rows[i].
inline Floats sums_of(const Floats (&rows)[lanes]) {
  Words columns[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) columns[i] = reinterpret_cast<Words>(rows[i]);
  transpose(columns);
#pragma GCC unroll 4
  for (int step = lanes / 2; step > 0; step /= 2)
#pragma GCC unroll 16
    for (int i = 0; i < step; ++i)
      columns[i] = reinterpret_cast<Words>(reinterpret_cast<Floats>(columns[i]) + reinterpret_cast<Floats>(columns[i + step]));
  return reinterpret_cast<Floats>(columns[0]);
}

inline void store_words(void* to, Words x, std::int64_t count) {
  if (count >= lanes) std::memcpy(to, &x, sizeof x);
  else std::memcpy(to, &x, static_cast<std::size_t>(count) * 4);
}

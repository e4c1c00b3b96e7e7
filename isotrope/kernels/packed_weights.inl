// Products of few rows with a matrix that stays in blocks of 32 numbers: d · q (Q8_0), d · (q − 8) (Q4_0), d · q + m (Q4_1). Every block gives
//   Σ (d q + m) x = d Σ q x + m Σ x,
// whose second sum is the same for all rows of the matrix and is made once.

/// The sixteen bytes at `from` as numbers.
inline Floats numbers_of(const std::uint8_t* from, int shift, bool nibbles) {
#if ISOTROPE_ISA_LEVEL >= 2
  auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  if (nibbles) bytes = _mm_and_si128(_mm_srli_epi16(bytes, shift), _mm_set1_epi8(15));
  return reinterpret_cast<Floats>(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)));
#else
  using Bytes = std::uint8_t __attribute__((vector_size(16)));
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  if (nibbles) bytes = (bytes >> static_cast<std::uint8_t>(shift)) & 15;
  return __builtin_convertvector(bytes, Floats);
#endif
}

inline Floats signed_numbers_of(const std::uint8_t* from) {
#if ISOTROPE_ISA_LEVEL >= 2
  const auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return reinterpret_cast<Floats>(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
#else
  using Bytes = std::int8_t __attribute__((vector_size(16)));
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, Floats);
#endif
}

inline float half_of(const std::uint8_t* from) {
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
#if ISOTROPE_ISA_LEVEL >= 1
  return _cvtsh_ss(bits);
#else
  return to_float_f16(bits);
#endif
}

/// Dot products of one row of the matrix, `blocks` blocks, with M rows of x that lie K apart; `sums` [M][blocks]: Σ x of each block.
template <Packing packing, int M>
inline void dot_packed(const std::uint8_t* block, std::int64_t blocks, const float* x, std::int64_t K, const float* sums, float* y) {
  constexpr bool nibbles = packing != Packing::q8_0;
  constexpr std::int64_t head = packing == Packing::q4_1 ? 4 : 2, bytes = head + (nibbles ? 16 : 32);
  Floats acc[M] = {};
  float rest[M] = {};
  for (std::int64_t b = 0; b < blocks; ++b, block += bytes, x += 32) {
    const float d = half_of(block);
    const Floats low = nibbles ? numbers_of(block + head, 0, true) : signed_numbers_of(block + head);
    const Floats high = nibbles ? numbers_of(block + head, 4, true) : signed_numbers_of(block + head + 16);
    const float offset = packing == Packing::q4_1 ? half_of(block + 2) : packing == Packing::q4_0 ? -8 * d : 0;
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      acc[m] += (low * load(x + m * K) + high * load(x + m * K + lanes)) * d;
      if constexpr (nibbles) rest[m] += offset * sums[m * blocks + b];
    }
  }
  for (int m = 0; m < M; ++m) y[m] = sum_of(acc[m]) + rest[m];
}

/// The rows first … last of the matrix: y [M][N] gets their products, with `shift` [N] or null added.
template <Packing packing, int M>
inline void packed_rows(const std::uint8_t* matrix, std::int64_t K, const float* x, const float* sums, const float* shift,
                        std::int64_t first, std::int64_t last, std::int64_t N, float* y) {
  const auto blocks = K / 32;
  constexpr std::int64_t bytes = packing == Packing::q8_0 ? 34 : packing == Packing::q4_1 ? 20 : 18;
  for (auto n = first; n < last; ++n) {
    const auto* row = matrix + n * blocks * bytes;
    __builtin_prefetch(row + 2 * blocks * bytes);
    float found[M];
    dot_packed<packing, M>(row, blocks, x, K, sums, found);
    for (int m = 0; m < M; ++m) y[m * N + n] = found[m] + (shift ? shift[n] : 0);
  }
}

template <Packing packing>
inline void packed_product(std::int64_t M, const std::uint8_t* matrix, std::int64_t K, const float* x, const float* sums,
                           const float* shift, std::int64_t first, std::int64_t last, std::int64_t N, float* y) {
  switch (M) {
    case 1: return packed_rows<packing, 1>(matrix, K, x, sums, shift, first, last, N, y);
    case 2: return packed_rows<packing, 2>(matrix, K, x, sums, shift, first, last, N, y);
    case 3: return packed_rows<packing, 3>(matrix, K, x, sums, shift, first, last, N, y);
    default: return packed_rows<packing, 4>(matrix, K, x, sums, shift, first, last, N, y);
  }
}

/// The same of rows that have been expanded, `count` of them from row `first` on.
inline void expanded_product(std::int64_t M, const float* rows, std::int64_t K, const float* x, const float* shift, std::int64_t first,
                             std::int64_t count, std::int64_t N, float* y) {
  for (std::int64_t n = 0; n < count; ++n)
    for (std::int64_t m = 0; m < M; ++m) {
      Floats acc{};
      for (std::int64_t k = 0; k < K; k += lanes) acc += load_upto(rows + n * K + k, K - k) * load_upto(x + m * K + k, K - k);
      y[m * N + first + n] = sum_of(acc) + (shift ? shift[first + n] : 0);
    }
}

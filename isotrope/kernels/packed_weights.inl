// Products of few rows with a matrix that stays in blocks of 32 numbers: d · q (Q8_0), d · (q − 8) (Q4_0), d · q + m (Q4_1). Every block gives
//   Σ (d q + m) x = d Σ q x + m Σ x,
// whose second sum is the same for all rows of the matrix and is made once. A row of the matrix is laid out anew: first the scales of all its blocks
// (d, or d and m, fp16), then the numbers q of all, so that both are read as they lie.

/// The 32 numbers q of a block, half by half: the low and the high nibbles of its bytes, or its signed bytes.
template <bool nibbles>
inline void numbers_of(const std::uint8_t* from, Floats& low, Floats& high) {
#if ISOTROPE_ISA_LEVEL >= 2
  const auto load16 = [](const std::uint8_t* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); };
  if constexpr (nibbles) {
    // A table of 16 takes the low four bits of each place and no others: no masks, no conversions.
    const auto table = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const auto places = _mm512_cvtepu8_epi32(load16(from));
    low = reinterpret_cast<Floats>(_mm512_permutexvar_ps(places, table));
    high = reinterpret_cast<Floats>(_mm512_permutexvar_ps(_mm512_srli_epi32(places, 4), table));
  } else {
    low = reinterpret_cast<Floats>(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load16(from))));
    high = reinterpret_cast<Floats>(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load16(from + lanes))));
  }
#else
  using Unsigned = std::uint8_t __attribute__((vector_size(16)));
  using Signed = std::int8_t __attribute__((vector_size(16)));
  if constexpr (nibbles) {
    Unsigned bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    low = __builtin_convertvector(static_cast<Unsigned>(bytes & 15), Floats);
    high = __builtin_convertvector(static_cast<Unsigned>(bytes >> 4), Floats);
  } else {
    Signed bytes[2];
    std::memcpy(bytes, from, sizeof bytes);
    low = __builtin_convertvector(bytes[0], Floats);
    high = __builtin_convertvector(bytes[1], Floats);
  }
#endif
}

/// `count` numbers of fp16, 16 at most; zeros behind them.
inline Floats floats_of_halves(const std::uint8_t* from, std::int64_t count) {
#if ISOTROPE_ISA_LEVEL >= 2
  const auto some = static_cast<__mmask16>(count >= lanes ? 0xffff : (1 << count) - 1);
  return reinterpret_cast<Floats>(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(some, from)));
#else
  std::uint16_t halves[lanes] = {};
  std::memcpy(halves, from, static_cast<std::size_t>(2 * std::min<std::int64_t>(count, lanes)));
  Floats out;
  for (int i = 0; i < lanes; ++i) {
#if ISOTROPE_ISA_LEVEL == 1
    out[i] = _cvtsh_ss(halves[i]);
#else
    out[i] = to_float_f16(halves[i]);
#endif
  }
  return out;
#endif
}

/// The rows first … last of the matrix: y [M][N] gets their dot products with M rows of x that lie K apart, `shift` [N] or null added. `offsets`
/// [M][scales of a row]: what every scale is multiplied with, besides the numbers: Σ x of its block for m, −8 Σ x for the d of Q4_0.
template <Packing packing, int M>
inline void packed_rows(const std::uint8_t* matrix, std::int64_t K, const float* x, const float* offsets, const float* shift,
                        std::int64_t first, std::int64_t last, std::int64_t N, float* y) {
  constexpr bool nibbles = packing != Packing::q8_0;
  constexpr std::int64_t per_block = packing == Packing::q4_1 ? 2 : 1, numbers = nibbles ? 16 : 32;  // scales, bytes of numbers
  constexpr std::int64_t at_once = 64;  // blocks whose scales are converted together
  // Rows, so that one does not wait for its own last addition, and for which x is read once; fewer where registers are short.
  constexpr int together = ISOTROPE_ISA_LEVEL >= 2 ? 4 : 1;
  constexpr int ahead = 16;  // rows
  const auto blocks = K / 32, row = blocks * (2 * per_block + numbers);
  for (auto n = first; n < last; n += together) {
    const std::uint8_t* rows[together];
    for (int r = 0; r < together; ++r) rows[r] = matrix + std::min(n + r, last - 1) * row;
    // Rows are shorter than what the processor foresees by itself: the next are asked for some rows early.
    for (std::int64_t line = 0; line < together * row; line += 64) __builtin_prefetch(rows[0] + ahead * row + line);
    Floats acc[M][together] = {}, rest[M][together] = {};
    for (std::int64_t begin = 0; begin < blocks; begin += at_once) {
      const auto count = std::min(at_once, blocks - begin), all = count * per_block;
      float scales[together][at_once * per_block];
      for (int r = 0; r < together; ++r)
        for (std::int64_t i = 0; i < all; i += lanes) {
          const Floats some = floats_of_halves(rows[r] + 2 * (begin * per_block + i), all - i);
          store(scales[r] + i, some);
          if constexpr (nibbles)
            for (int m = 0; m < M; ++m) rest[m][r] += some * load_upto(offsets + (m * blocks + begin) * per_block + i, all - i);
        }
      for (std::int64_t b = 0; b < count; ++b) {
        const float* part = x + (begin + b) * 32;
#pragma GCC unroll 4
        for (int r = 0; r < together; ++r) {
          const auto* block = rows[r] + 2 * per_block * blocks + (begin + b) * numbers;
          Floats low, high;
          numbers_of<nibbles>(block, low, high);
#pragma GCC unroll 4
          for (int m = 0; m < M; ++m)
            acc[m][r] += (low * load(part + m * K) + high * load(part + m * K + lanes)) * scales[r][b * per_block];
        }
      }
    }
    for (int m = 0; m < M; ++m)
      for (int r = 0; r < together && n + r < last; ++r) y[m * N + n + r] = sum_of(acc[m][r] + rest[m][r]) + (shift ? shift[n + r] : 0);
  }
}

/// The numbers of the rows first … last of the matrix, one row after the other.
template <Packing packing, class T>
inline void expand_rows_of(const std::uint8_t* matrix, std::int64_t K, std::int64_t first, std::int64_t last, T* to) {
  constexpr bool nibbles = packing != Packing::q8_0;
  constexpr std::int64_t per_block = packing == Packing::q4_1 ? 2 : 1, numbers = nibbles ? 16 : 32;
  const auto blocks = K / 32, row = blocks * (2 * per_block + numbers);
  for (auto n = first; n < last; ++n) {
    const auto *scales = matrix + n * row, *block = scales + 2 * per_block * blocks;
    for (std::int64_t begin = 0; begin < blocks; begin += lanes / per_block) {
      const auto count = std::min<std::int64_t>(lanes / per_block, blocks - begin);
      const Floats some = floats_of_halves(scales + 2 * per_block * begin, count * per_block);
      for (std::int64_t b = 0; b < count; ++b, block += numbers, to += 32) {
        const float d = some[b * per_block], offset = packing == Packing::q4_1   ? some[b * per_block + 1]
                                                      : packing == Packing::q4_0 ? -8 * d
                                                                                 : 0;
        Floats low, high;
        numbers_of<nibbles>(block, low, high);
        store(to, low * d + offset);
        store(to + lanes, high * d + offset);
      }
    }
  }
}

template <class T>
inline void expand_rows(Packing packing, const std::uint8_t* matrix, std::int64_t K, std::int64_t first, std::int64_t last, T* to) {
  if (packing == Packing::q8_0) expand_rows_of<Packing::q8_0>(matrix, K, first, last, to);
  else if (packing == Packing::q4_0) expand_rows_of<Packing::q4_0>(matrix, K, first, last, to);
  else expand_rows_of<Packing::q4_1>(matrix, K, first, last, to);
}

template <Packing packing>
inline void packed_product(std::int64_t M, const std::uint8_t* matrix, std::int64_t K, const float* x, const float* offsets,
                           const float* shift, std::int64_t first, std::int64_t last, std::int64_t N, float* y) {
  switch (M) {
    case 1: return packed_rows<packing, 1>(matrix, K, x, offsets, shift, first, last, N, y);
    case 2: return packed_rows<packing, 2>(matrix, K, x, offsets, shift, first, last, N, y);
    case 3: return packed_rows<packing, 3>(matrix, K, x, offsets, shift, first, last, N, y);
    default: return packed_rows<packing, 4>(matrix, K, x, offsets, shift, first, last, N, y);
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

// Products of few rows with a matrix that lies in rows; T is float or BFloat16, all sums are float.

/// Adds to acc the products of the M rows of x with `together` rows of the matrix, by lanes, from k = 0 on; returns how far it came. The
/// next rows are fetched meanwhile: short rows end before the processor has seen where they lead.
template <class T, int M, int together>
inline std::int64_t add_products(const T* x, const T* const (&rows)[together], std::int64_t K, Floats (&acc)[M][together]) {
  constexpr auto line = static_cast<std::int64_t>(64 / sizeof(T));
  std::int64_t k = 0;
#if ISOTROPE_ISA_LEVEL >= 3
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    const auto pairs = [](const T* from) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(from)); };
    for (; k + line <= K; k += line) {
#pragma GCC unroll 4
      for (int r = 0; r < together; ++r) {
        __builtin_prefetch(rows[r] + k + together * K);
        const auto w = pairs(rows[r] + k);
#pragma GCC unroll 4
        for (int m = 0; m < M; ++m)
          acc[m][r] = reinterpret_cast<Floats>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(acc[m][r]), w, pairs(x + m * K + k)));
      }
    }
  }
#endif
  for (; k + lanes <= K; k += lanes) {
    Floats w[together];
#pragma GCC unroll 4
    for (int r = 0; r < together; ++r) {
      if (k % line == 0) __builtin_prefetch(rows[r] + k + together * K);
      w[r] = load(rows[r] + k);
    }
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      const Floats v = load(x + m * K + k);
#pragma GCC unroll 4
      for (int r = 0; r < together; ++r) acc[m][r] += v * w[r];
    }
  }
  return k;
}

/// y [M] of 16 rows of the matrix (`count` of them, if fewer are left): the dot products of each with the M rows of x.
/// y's rows are `ldy` apart, x's and the matrix's K.
template <class T, int M>
inline void dot_16_rows(const T* x, const T* weight, std::int64_t K, std::int64_t count, float* y, std::int64_t ldy) {
  constexpr int together = 4;  // chains of sums, so that one does not wait for its own last addition
  Floats sums[M][lanes] = {};
  for (std::int64_t row = 0; row < count; row += together) {
    const T* rows[together];
    for (int r = 0; r < together; ++r) rows[r] = weight + std::min(row + r, count - 1) * K;
    Floats acc[M][together] = {};
    const auto whole = add_products<T, M, together>(x, rows, K, acc);
    if (whole < K)
      for (int m = 0; m < M; ++m) {
        const Floats v = load_part(x + m * K + whole, K - whole);
        for (int r = 0; r < together; ++r) acc[m][r] += v * load_part(rows[r] + whole, K - whole);
      }
    for (int m = 0; m < M; ++m)
      for (int r = 0; r < together; ++r) sums[m][row + r] = acc[m][r];
  }
  for (int m = 0; m < M; ++m) store_upto(y + m * ldy, sums_of(sums[m]), count);
}

/// The columns begin … end of y [M, N] = x [M, K] · Wᵀ + bias, rounded to T; `bias` [N] or null.
template <class T, int M>
inline void product_of_rows(const T* x, const T* weight, const T* bias, std::int64_t K, std::int64_t N, std::int64_t begin,
                            std::int64_t end, T* y) {
  for (auto n = begin; n < end; n += lanes) {
    const auto count = std::min(lanes, end - n);
    float sums[M * lanes];
    dot_16_rows<T, M>(x, weight + n * K, K, count, sums, lanes);
    for (int m = 0; m < M; ++m) {
      Floats sum = load(sums + m * lanes);
      if (bias) sum += load_upto(bias + n, count);
      store_upto(y + m * N + n, sum, count);
    }
  }
}

/// The same for M ≤ 4 rows known at run time.
template <class T>
inline void product_of_few_rows(std::int64_t M, const T* x, const T* weight, const T* bias, std::int64_t K, std::int64_t N,
                                std::int64_t begin, std::int64_t end, T* y) {
  switch (M) {
    case 1: return product_of_rows<T, 1>(x, weight, bias, K, N, begin, end, y);
    case 2: return product_of_rows<T, 2>(x, weight, bias, K, N, begin, end, y);
    case 3: return product_of_rows<T, 3>(x, weight, bias, K, N, begin, end, y);
    default: return product_of_rows<T, 4>(x, weight, bias, K, N, begin, end, y);
  }
}

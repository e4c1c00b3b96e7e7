// Products of few rows with a matrix that lies in rows; T is float or BFloat16, all arithmetic in float.

/// y [M] of 16 rows of the matrix (`count` of them, if fewer are left): the dot products of each with the M rows of x.
/// y's rows are `ldy` apart, x's and the matrix's K.
template <class T, int M>
inline void dot_16_rows(const T* x, const T* weight, std::int64_t K, std::int64_t count, float* y, std::int64_t ldy) {
  constexpr int together = 4;  // chains of sums, so that one does not wait for its own last addition
  Floats sums[M][lanes] = {};
  const auto whole = K / lanes * lanes;
  for (std::int64_t row = 0; row < count; row += together) {
    const T* rows[together];
    for (int r = 0; r < together; ++r) rows[r] = weight + std::min(row + r, count - 1) * K;
    Floats acc[M][together] = {};
    for (std::int64_t k = 0; k < whole; k += lanes) {
      Floats w[together];
#pragma GCC unroll 4
      for (int r = 0; r < together; ++r) w[r] = load(rows[r] + k);
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) {
        const Floats v = load(x + m * K + k);
#pragma GCC unroll 4
        for (int r = 0; r < together; ++r) acc[m][r] += v * w[r];
      }
    }
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

// Passes of Spectra over the rows of a matrix as they lie in memory, eight rows at a time. Thin factors lie in panels of 16 columns,
// [panel][·][16], whose unused columns are zero.

/// m ← mu·m + scale·g over one row; Σ m².
inline double mix_row(float* m, const float* g, std::int64_t n, float mu, float scale) {
  for (std::int64_t i = 0; i < n; i += lanes) {
    const auto left = n - i;
    store_upto(m + i, mu * load_upto(m + i, left) + scale * load_upto(g + i, left), left);
  }
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(m[i]) * static_cast<double>(m[i]);
  return sum;
}

/// out_i ← Σ_c x_ic · right_c over one panel, for rows i < count.
template <std::int64_t count>
inline void rows_times(float* const* x, std::int64_t n, const float* right, float* out) {
  Floats sums[count] = {};
  for (std::int64_t c = 0; c < n; ++c) {
    const auto factor = load(right + c * lanes);
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < count; ++i) sums[i] += x[i][c] * factor;
  }
  for (std::int64_t i = 0; i < count; ++i) store(out + i * lanes, sums[i]);
}

/// out_c ← out_c + Σ_i x_ic · left_i over one panel, for rows i < count.
template <std::int64_t count>
inline void rows_into(float* const* x, std::int64_t n, const float* left, float* out) {
  Floats factors[count];
  for (std::int64_t i = 0; i < count; ++i) factors[i] = load(left + i * lanes);
  for (std::int64_t c = 0; c < n; ++c) {
    auto sum = load(out + c * lanes);
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < count; ++i) sum += x[i][c] * factors[i];
    store(out + c * lanes, sum);
  }
}

/// w_i ← decay · w_i − step · (x_i − Σ_q left_iq · right_q) for rows i < count; left [count, k], right [k, width].
template <std::int64_t count>
inline void move_rows(float* const* w, c10::BFloat16* const* working, float* const* x, std::int64_t n, const float* left,
                      const float* right, std::int64_t k, std::int64_t width, float decay, float step) {
  for (std::int64_t c = 0; c < n; c += lanes) {
    const auto room = n - c;
    Floats spike[count] = {};
    for (std::int64_t q = 0; q < k; ++q) {
      const auto factor = load(right + q * width + c);
#pragma GCC unroll 8
      for (std::int64_t i = 0; i < count; ++i) spike[i] += left[i * k + q] * factor;
    }
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < count; ++i) {
      const Floats moved = decay * load_upto(w[i] + c, room) - step * (load_upto(x[i] + c, room) - spike[i]);
      store_upto(w[i] + c, moved, room);
      if (working[i]) store_upto(working[i] + c, moved, room);
    }
  }
}

inline double dot(const double* x, const double* y, std::int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

/// x ← x − 2 v (vᵀx) for a unit vector v.
inline void reflect(double* x, const double* v, std::int64_t n) {
  const double factor = 2 * dot(v, x, n);
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) x[i] -= factor * v[i];
}

/// The thin Q of a [k][m], column by column, into q [k][m], with diag(R) > 0; a is overwritten. Householder's reflections: orthonormal
/// whatever the rank. LAPACK's would do, but MKL's never returns when it is called from one of several threads (measured with torch 2.13).
inline void thin_q(double* a, std::int64_t m, std::int64_t k, double* q) {
  double signs[k > 0 ? k : 1];
  for (std::int64_t j = 0; j < k; ++j) {
    double* v = a + j * m + j;  // rows j … m − 1 of column j become the reflection's unit vector
    const double norm = std::sqrt(dot(v, v, m - j));
    signs[j] = v[0] > 0 ? -1 : 1;  // of R's diagonal
    v[0] += v[0] > 0 ? norm : -norm;
    const double length = std::sqrt(dot(v, v, m - j));
    for (std::int64_t i = 0; i < m - j; ++i) v[i] = length > 0 ? v[i] / length : 0;
    for (std::int64_t c = j + 1; c < k; ++c) reflect(a + c * m + j, v, m - j);
  }
  for (std::int64_t j = 0; j < k; ++j) {
    double* column = q + j * m;
    std::fill_n(column, m, 0.0);
    column[j] = 1;
    for (std::int64_t i = j; i >= 0; --i) reflect(column + i, a + i * m + i, m - i);
    for (std::int64_t i = 0; i < m; ++i) column[i] *= signs[j];
  }
}

/// Calls pass(first row, rows) with eight rows at a time, then one.
template <class Pass>
inline void in_row_blocks(std::int64_t rows, const Pass& pass) {
  std::int64_t i = 0;
  for (; i + 8 <= rows; i += 8) pass(i, std::integral_constant<std::int64_t, 8>{});
  for (; i < rows; ++i) pass(i, std::integral_constant<std::int64_t, 1>{});
}

/// M ← μM + G where `mix` is given; then out [panels][rows][16] ← M · right where `by_rows`, else out [panels][cols][16] ← Mᵀ · thin, with
/// thin [panels][rows][16] and out zeroed before.
inline void thin_product(const StoredRows<float>& m, Mixing* mix, bool by_rows, const float* thin, float* out, std::int64_t panels) {
  in_row_blocks(m.rows, [&](std::int64_t first, auto count) {
    float* rows[count];
    for (std::int64_t i = 0; i < count; ++i) {
      rows[i] = m.row(first + i);
      if (mix) mix->squares += mix_row(rows[i], mix->gradient.row(first + i), m.cols, mix->mu, mix->scale);
    }
    for (std::int64_t p = 0; p < panels; ++p) {
      if (by_rows) rows_times<count>(rows, m.cols, thin + p * m.cols * lanes, out + (p * m.rows + first) * lanes);
      else rows_into<count>(rows, m.cols, thin + (p * m.rows + first) * lanes, out + p * m.cols * lanes);
    }
  });
}

inline void move_weights(const StoredRows<float>& w, const StoredRows<c10::BFloat16>& working, const StoredRows<float>& m,
                         const float* left, const float* right, std::int64_t k, std::int64_t width, float decay, float step) {
  in_row_blocks(m.rows, [&](std::int64_t first, auto count) {
    float *to[count], *from[count];
    c10::BFloat16* copies[count];
    for (std::int64_t i = 0; i < count; ++i)
      to[i] = w.row(first + i), from[i] = m.row(first + i), copies[i] = working.data ? working.row(first + i) : nullptr;
    move_rows<count>(to, copies, from, m.cols, left + first * k, right, k, width, decay, step);
  });
}

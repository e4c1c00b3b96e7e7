// A part of x · Wᵀ + b in fixed tiles; T is float or BFloat16, all sums are float.
#include "isotrope/kernels/fixed_tiles.inl"

/// The columns [first, first + count) of W, whose rows are `ld` apart (columns of a matrix that lies as [K, N]: `across`), as panels.
template <class T>
inline void pack_weight(const T* weight, std::int64_t ld, bool across, std::int64_t K, std::int64_t first, std::int64_t count,
                        float* panels) {
  for (std::int64_t n = 0; n < count; n += lanes, panels += K * lanes) {
    const auto here = std::min(lanes, count - n);
    if (across) {
      for (std::int64_t k = 0; k < K; ++k) store(panels + k * lanes, load_upto(weight + k * ld + first + n, here));
      continue;
    }
    const T* rows[lanes] = {};
    for (std::int64_t i = 0; i < here; ++i) rows[i] = weight + (first + n + i) * ld;
    pack_panel(rows, K, panels);
  }
}

/// y [M, …] = x [M, K] · panels + bias, for `count` columns; rows of y are ldy apart. `scratch`: K · 16 floats.
template <class T, class Out>
inline void multiply_panels_into(const T* x, std::int64_t M, std::int64_t K, const float* panels, std::int64_t count, const T* bias, Out* y,
                                 std::int64_t ldy, float* scratch) {
  for (std::int64_t m = 0; m < M; m += tile_rows) {
    const auto here = std::min<std::int64_t>(tile_rows, M - m);
    const T* rows[tile_rows] = {};
    for (std::int64_t i = 0; i < here; ++i) rows[i] = x + (m + i) * K;
    pack_rows(rows, here, K, scratch);
    multiply_rows(scratch, here, panels, (count + lanes - 1) / lanes, K * lanes, K, [&](std::int64_t i, std::int64_t panel, Floats sum) {
      const auto n = panel * lanes;
      if (bias) sum += load_upto(bias + n, count - n);
      store_upto(y + (m + i) * ldy + n, sum, count - n);
    });
  }
}

template <class T>
inline void multiply_panels(const T* x, std::int64_t M, std::int64_t K, const float* panels, std::int64_t count, const T* bias, T* y,
                            std::int64_t ldy, float* scratch) {
  multiply_panels_into(x, M, K, panels, count, bias, y, ldy, scratch);
}

/// The same without rounding.
template <class T>
inline void multiply_panels_wide(const T* x, std::int64_t M, std::int64_t K, const float* panels, std::int64_t count, const T* bias,
                                 float* y, std::int64_t ldy, float* scratch) {
  multiply_panels_into(x, M, K, panels, count, bias, y, ldy, scratch);
}

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

/// The tiles [begin, end) of x [M, K], packed one after the other.
template <class T>
inline void pack_tiles(const T* x, std::int64_t M, std::int64_t K, std::int64_t begin, std::int64_t end, float* tiles) {
  for (auto tile = begin; tile < end; ++tile) {
    const auto first = tile * tile_rows, count = std::min<std::int64_t>(tile_rows, M - first);
    const T* rows[tile_rows] = {};
    for (std::int64_t i = 0; i < count; ++i) rows[i] = x + (first + i) * K;
    pack_rows(rows, count, K, tiles + tile * K * tile_rows);
  }
}

inline std::int64_t height_of_tiles() { return tile_rows; }

/// The rows of y [M, …] = x · panels + bias that belong to the tiles [begin, end) of x, for `count` columns; rows of y are ldy apart.
template <class T, class Out>
inline void multiply_panels_into(const float* tiles, std::int64_t begin, std::int64_t end, std::int64_t M, std::int64_t K,
                                 const float* panels, std::int64_t count, const T* bias, Out* y, std::int64_t ldy) {
  for (auto tile = begin; tile < end; ++tile) {
    const auto first = tile * tile_rows, here = std::min<std::int64_t>(tile_rows, M - first);
    multiply_rows(tiles + tile * K * tile_rows, here, panels, (count + lanes - 1) / lanes, K * lanes, K,
                  [&](std::int64_t i, std::int64_t panel, Floats sum) {
                    const auto n = panel * lanes;
                    if (bias) sum += load_upto(bias + n, count - n);
                    store_upto(y + (first + i) * ldy + n, sum, count - n);
                  });
  }
}

template <class T>
inline void multiply_panels(const float* tiles, std::int64_t begin, std::int64_t end, std::int64_t M, std::int64_t K, const float* panels,
                            std::int64_t count, const T* bias, T* y, std::int64_t ldy) {
  multiply_panels_into(tiles, begin, end, M, K, panels, count, bias, y, ldy);
}

/// The same without rounding.
template <class T>
inline void multiply_panels_wide(const float* tiles, std::int64_t begin, std::int64_t end, std::int64_t M, std::int64_t K,
                                 const float* panels, std::int64_t count, const T* bias, float* y, std::int64_t ldy) {
  multiply_panels_into(tiles, begin, end, M, K, panels, count, bias, y, ldy);
}

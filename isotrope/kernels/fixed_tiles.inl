// Products of tiles, each number of which is one chain of sums over k from 0 on: its bits depend on its row and its column alone, not on
// what stands beside them in the tile. The right operand lies in panels of 16 columns, [K][16] each, one after the other.

// As many sums as the registers hold.
#if ISOTROPE_ISA_LEVEL >= 2
constexpr int tile_rows = 8, tile_panels = 3;
#elif ISOTROPE_ISA_LEVEL == 1
constexpr int tile_rows = 3, tile_panels = 2;
#else
constexpr int tile_rows = 2, tile_panels = 1;
#endif

/// Up to tile_rows rows of K numbers as [K][tile_rows], those that are not there as zeros.
template <class T>
inline void pack_rows(const T* const* rows, std::int64_t count, std::int64_t K, float* packed) {
  for (std::int64_t k = 0; k < K; k += lanes) {
    const auto left = K - k;
    Words tile[lanes] = {};
    for (std::int64_t m = 0; m < count; ++m) tile[m] = reinterpret_cast<Words>(load_upto(rows[m] + k, left));
    transpose(tile);
    for (std::int64_t j = 0; j < std::min(lanes, left); ++j) std::memcpy(packed + (k + j) * tile_rows, &tile[j], tile_rows * sizeof(float));
  }
}

template <int panels>
inline void multiply_tile(const float* rows, const float* panel, std::int64_t panel_size, std::int64_t K,
                          Floats (&sums)[tile_rows][tile_panels]) {
  Floats acc[tile_rows][panels] = {};
  for (std::int64_t k = 0; k < K; ++k) {
    Floats columns[panels];
#pragma GCC unroll 3
    for (int p = 0; p < panels; ++p) columns[p] = load(panel + p * panel_size + k * lanes);
#pragma GCC unroll 8
    for (int m = 0; m < tile_rows; ++m)
#pragma GCC unroll 3
      for (int p = 0; p < panels; ++p) acc[m][p] += rows[k * tile_rows + m] * columns[p];
  }
#pragma GCC unroll 8
  for (int m = 0; m < tile_rows; ++m)
#pragma GCC unroll 3
    for (int p = 0; p < panels; ++p) sums[m][p] = acc[m][p];
}

/// Calls store(row, panel, sums) for the products of `count` ≤ tile_rows packed rows with `panels` panels, `panel_size` apart, of which the
/// first K rows count.
template <class Store>
inline void multiply_rows(const float* rows, std::int64_t count, const float* panel, std::int64_t panels, std::int64_t panel_size,
                          std::int64_t K, const Store& store) {
  Floats sums[tile_rows][tile_panels];
  for (std::int64_t p = 0; p < panels; p += tile_panels) {
    const auto here = std::min<std::int64_t>(tile_panels, panels - p);
    const auto* from = panel + p * panel_size;
    if (here == 1) multiply_tile<1>(rows, from, panel_size, K, sums);
#if ISOTROPE_ISA_LEVEL >= 1
    else if (here == 2) multiply_tile<2>(rows, from, panel_size, K, sums);
#endif
#if ISOTROPE_ISA_LEVEL >= 2
    else multiply_tile<3>(rows, from, panel_size, K, sums);
#endif
    for (std::int64_t m = 0; m < count; ++m)
      for (std::int64_t i = 0; i < here; ++i) store(m, p + i, sums[m][i]);
  }
}

/// 16 rows of K numbers, null ones as zeros, as one panel.
template <class T>
inline void pack_panel(const T* const (&rows)[lanes], std::int64_t K, float* panel) {
  for (std::int64_t k = 0; k < K; k += lanes) {
    const auto left = K - k;
    Words tile[lanes];
    for (std::int64_t i = 0; i < lanes; ++i) tile[i] = rows[i] ? reinterpret_cast<Words>(load_upto(rows[i] + k, left)) : Words{};
    transpose(tile);
    for (std::int64_t j = 0; j < std::min(lanes, left); ++j) store_words(panel + (k + j) * lanes, tile[j], lanes);
  }
}

// The packing of block_gemm.h, and its product where the processor has no instruction for it.

/// Up to 16 columns: the sums of a row stay in registers.
inline void panel(std::int64_t M, std::int64_t N, std::int64_t K, const c10::BFloat16* A, std::int64_t lda, const c10::BFloat16* B,
                  std::int64_t ldb, float* C, std::int64_t ldc, bool add) {
  for (std::int64_t m = 0; m < M; ++m) {
    Floats sums = add ? load_upto(C + m * ldc, N) : Floats{};
    for (std::int64_t k = 0; k < K; k += 2) {
      Words pairs{};
      std::memcpy(&pairs, B + k * ldb, static_cast<std::size_t>(N) * 4);
      sums += static_cast<float>(A[m * lda + k]) * reinterpret_cast<Floats>(pairs << 16) +
              static_cast<float>(A[m * lda + k + 1]) * reinterpret_cast<Floats>(pairs & 0xFFFF0000u);
    }
    store_upto(C + m * ldc, sums, N);
  }
}

inline void pack_pairs(const c10::BFloat16* rows, std::int64_t ld, std::int64_t K, std::int64_t N, c10::BFloat16* pairs, std::int64_t Kp) {
  for (std::int64_t k = 0; k < Kp; k += 2, pairs += 2 * N)
    for (std::int64_t n = 0; n < N; n += lanes) {
      const Floats none{};
      const auto even = reinterpret_cast<Words>(k < K ? load_upto(rows + k * ld + n, N - n) : none) >> 16;
      const auto odd = reinterpret_cast<Words>(k + 1 < K ? load_upto(rows + (k + 1) * ld + n, N - n) : none);
      store_words(pairs + 2 * n, even | odd, N - n);
    }
}

inline void store_halves(void* to, Words x, std::int64_t count) {
  const auto halves = __builtin_convertvector(x, Halves);
  if (count >= lanes) std::memcpy(to, &halves, sizeof halves);
  else std::memcpy(to, &halves, static_cast<std::size_t>(count) * 2);
}

/// 16 rows from n and 16 words from k of rows with K elements, transposed.
inline void load_transposed(const c10::BFloat16* rows, std::int64_t ld, std::int64_t N, std::int64_t n, std::int64_t K, std::int64_t k,
                            Words (&tile)[lanes]) {
  const auto bytes = 2 * K - 4 * k;  // left in a row; an odd K ends in half a word
  for (std::int64_t i = 0; i < lanes; ++i) {
    tile[i] = Words{};
    if (n + i >= N) continue;
    const auto* from = rows + (n + i) * ld + 2 * k;
    __builtin_prefetch(from + 2 * lanes * ld);  // rows lie too far apart for the hardware to see the pattern
    if (bytes >= 64) std::memcpy(&tile[i], from, 64);
    else std::memcpy(&tile[i], from, static_cast<std::size_t>(bytes));
  }
  transpose(tile);
}

inline void pack_transposed_pairs(const c10::BFloat16* rows, std::int64_t ld, std::int64_t N, std::int64_t K, c10::BFloat16* pairs,
                                  std::int64_t Np) {
  Words tile[lanes];
  for (std::int64_t n = 0; n < Np; n += lanes)
    for (std::int64_t k = 0; k < K / 2; k += lanes) {
      load_transposed(rows, ld, N, n, K, k, tile);
      for (std::int64_t j = 0; j < lanes && k + j < K / 2; ++j) store_words(pairs + 2 * ((k + j) * Np + n), tile[j], Np - n);
    }
}

inline void pack_transposed(const c10::BFloat16* rows, std::int64_t ld, std::int64_t N, std::int64_t K, c10::BFloat16* columns,
                            std::int64_t Np) {
  Words tile[lanes];
  for (std::int64_t n = 0; n < Np; n += lanes)
    for (std::int64_t k = 0; 2 * k < K; k += lanes) {
      load_transposed(rows, ld, N, n, K, k, tile);
      for (std::int64_t j = 0; j < lanes && 2 * (k + j) < K; ++j) {
        auto* even = columns + 2 * (k + j) * Np + n;
        store_halves(even, tile[j] & 0xFFFFu, Np - n);
        if (2 * (k + j) + 1 < K) store_halves(even + Np, tile[j] >> 16, Np - n);
      }
    }
}

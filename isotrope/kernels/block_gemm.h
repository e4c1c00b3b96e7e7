#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace isotrope {

/// Products of small blocks inside our own loops, on one thread: operands that stay in the cache, bf16 in, fp32 out.
///
/// The right operand B [K, N] lies in pairs of rows, as the dot-product instructions of bf16 read it: element (k, n) at
/// [k / 2][n][k % 2], K even. `ld` counts elements of A and C between rows, and columns (pairs) of B between pairs of rows.

/// C [M, N] = A [M, K] · B [K, N], or C += where `add`. libtorch's brgemm where the processor has AVX-512 and bf16, own loops elsewhere.
void block_gemm(std::int64_t M, std::int64_t N, std::int64_t K, const c10::BFloat16* A, std::int64_t lda, const c10::BFloat16* B,
                std::int64_t ldb, float* C, std::int64_t ldc, bool add);

/// Stands in every thread's part of a parallel loop that calls block_gemm: at its end the processor's matrix registers, where it has them
/// (AMX), are given back to whoever sets them up next.
class BlockGemmScope {
 public:
  BlockGemmScope() = default;
  BlockGemmScope(const BlockGemmScope&) = delete;
  ~BlockGemmScope();
};

/// Rows [K, N] (`ld` apart) → pairs [Kp / 2][N][2]; Kp ≥ K even, the rows from K on are zero.
void pack_pairs(const c10::BFloat16* rows, std::int64_t ld, std::int64_t K, std::int64_t N, c10::BFloat16* pairs, std::int64_t Kp);

/// Rows [N, K] (`ld` apart, K even) → pairs of the transpose, [K / 2][Np][2]; columns from N to Np are zero.
void pack_transposed_pairs(const c10::BFloat16* rows, std::int64_t ld, std::int64_t N, std::int64_t K, c10::BFloat16* pairs,
                           std::int64_t Np);

/// Rows [N, K] (`ld` apart) → the transpose [K, Np]; columns from N to Np are zero.
void pack_transposed(const c10::BFloat16* rows, std::int64_t ld, std::int64_t N, std::int64_t K, c10::BFloat16* columns, std::int64_t Np);

namespace reference {
/// The same product by plain loops in any order the compiler likes.
void block_gemm(std::int64_t M, std::int64_t N, std::int64_t K, const c10::BFloat16* A, std::int64_t lda, const c10::BFloat16* B,
                std::int64_t ldb, float* C, std::int64_t ldc, bool add);
}  // namespace reference

}  // namespace isotrope

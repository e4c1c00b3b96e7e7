#include "isotrope/kernels/block_gemm.h"

#include <ATen/native/CPUBlas.h>

#include <algorithm>

#define ISOTROPE_KERNELS "isotrope/kernels/block_gemm.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

using c10::BFloat16;

namespace reference {

void block_gemm(std::int64_t M, std::int64_t N, std::int64_t K, const BFloat16* A, std::int64_t lda, const BFloat16* B, std::int64_t ldb,
                float* C, std::int64_t ldc, bool add) {
  static const auto panel = ISOTROPE_CHOOSE(panel);
  for (std::int64_t n = 0; n < N; n += 16) panel(M, std::min<std::int64_t>(16, N - n), K, A, lda, B + 2 * n, ldb, C + n, ldc, add);
}

}  // namespace reference

namespace {

/// brgemm refuses to run without AVX-512, and with it but without bf16 instructions it would emulate them; ONEDNN_MAX_CPU_ISA may forbid
/// it.
bool brgemm_works() {
  if (instruction_set() != Isa::avx512bf16) return false;
  try {
    const BFloat16 one[4] = {1, 1, 1, 1};
    float sum = 0;
    at::native::cpublas::brgemm(1, 1, 2, 2, 1, 1, false, one, one, &sum, /*is_vnni=*/true);
    at::native::cpublas::brgemm_release(/*is_vnni=*/true);
    return sum == 2;
  } catch (const c10::Error&) {
    return false;
  }
}

bool uses_brgemm() {
  static const bool works = brgemm_works();
  return works;
}

}  // namespace

BlockGemmScope::~BlockGemmScope() {
  if (uses_brgemm()) at::native::cpublas::brgemm_release(/*is_vnni=*/true);
}

void block_gemm(std::int64_t M, std::int64_t N, std::int64_t K, const BFloat16* A, std::int64_t lda, const BFloat16* B, std::int64_t ldb,
                float* C, std::int64_t ldc, bool add) {
  if (uses_brgemm()) at::native::cpublas::brgemm(M, N, K, lda, ldb, ldc, add, A, B, C, /*is_vnni=*/true);
  else reference::block_gemm(M, N, K, A, lda, B, ldb, C, ldc, add);
}

void pack_pairs(const BFloat16* rows, std::int64_t ld, std::int64_t K, std::int64_t N, BFloat16* pairs, std::int64_t Kp) {
  static const auto kernel = ISOTROPE_CHOOSE(pack_pairs);
  kernel(rows, ld, K, N, pairs, Kp);
}

void pack_transposed_pairs(const BFloat16* rows, std::int64_t ld, std::int64_t N, std::int64_t K, BFloat16* pairs, std::int64_t Np) {
  static const auto kernel = ISOTROPE_CHOOSE(pack_transposed_pairs);
  kernel(rows, ld, N, K, pairs, Np);
}

void pack_transposed(const BFloat16* rows, std::int64_t ld, std::int64_t N, std::int64_t K, BFloat16* columns, std::int64_t Np) {
  static const auto kernel = ISOTROPE_CHOOSE(pack_transposed);
  kernel(rows, ld, N, K, columns, Np);
}

}  // namespace isotrope

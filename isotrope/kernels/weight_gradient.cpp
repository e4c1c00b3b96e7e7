#include "isotrope/kernels/weight_gradient.h"

#include <ATen/ATen.h>

#include <vector>

#include "isotrope/kernels/block_gemm.h"
#include "isotrope/kernels/dispatch.h"

namespace isotrope {

namespace reference {

void add_outer_product_(at::Tensor& into, const at::Tensor& a, const at::Tensor& b) {
  into.add_(at::mm(a.to(into.scalar_type()).t(), b.to(into.scalar_type())));
}

}  // namespace reference

namespace {

using c10::BFloat16;

// A block of 64 × 256 sums in fp32 (64 KiB) against 512 rows: both operands of a block stay in the second-level cache.
constexpr std::int64_t row_block = 64, column_block = 256, depth = 512;
constexpr std::int64_t left_stride = depth + 32;  // not a power of two: its rows would share a few sets of the first-level cache

/// b in pairs of rows, one piece of `depth` rows after the other.
void pack_right(const BFloat16* b, std::int64_t ld, std::int64_t K, std::int64_t N, BFloat16* pairs) {
  const auto pieces = (K + depth - 1) / depth;
  at::parallel_for(0, pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto piece = begin; piece < end; ++piece) {
      const auto first = piece * depth, count = std::min(depth, K - first);
      pack_pairs(b + first * ld, ld, count, N, pairs + first * N, (count + 1) / 2 * 2);
    }
  });
}

void multiply(float* into, std::int64_t ld_into, const BFloat16* a, std::int64_t lda, const BFloat16* right, std::int64_t M, std::int64_t N,
              std::int64_t K, bool overwrite) {
  const auto tasks = (M + row_block - 1) / row_block;
  at::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    static thread_local std::vector<BFloat16> left(row_block * left_stride);
    const BlockGemmScope scope;
    for (auto task = begin; task < end; ++task) {
      const auto row = task * row_block, rows = std::min(row_block, M - row);
      for (std::int64_t k = 0; k < K; k += depth) {
        const auto count = std::min(depth, K - k), even = (count + 1) / 2 * 2;
        pack_transposed(a + k * lda + row, lda, count, rows, left.data(), left_stride);
        for (std::int64_t n = 0; n < N; n += column_block)
          block_gemm(rows, std::min(column_block, N - n), even, left.data(), left_stride, right + k * N + 2 * n, N,
                     into + row * ld_into + n, ld_into, k > 0 || !overwrite);
      }
    }
  });
}

}  // namespace

void add_outer_product_(at::Tensor& into, const at::Tensor& a_in, const at::Tensor& b_in, bool overwrite) {
  const auto K = a_in.size(0), M = a_in.size(1), N = b_in.size(1);
  const bool blocks = has_cpu_kernel(a_in) && a_in.scalar_type() == at::kBFloat16 && b_in.scalar_type() == at::kBFloat16 &&
                      into.scalar_type() == at::kFloat && into.stride(1) == 1;
  if (!blocks) {
    if (a_in.scalar_type() == into.scalar_type()) at::addmm_out(into, into, a_in.t(), b_in, overwrite ? 0 : 1);
    else if (overwrite) into.copy_(at::mm(a_in.t(), b_in));
    else into.add_(at::mm(a_in.t(), b_in));
    return;
  }
  const auto a = a_in.stride(1) == 1 ? a_in : a_in.contiguous(), b = b_in.stride(1) == 1 ? b_in : b_in.contiguous();
  auto right = at::empty({(K + 1) / 2 * 2 * N}, b.options());
  pack_right(b.const_data_ptr<BFloat16>(), b.stride(0), K, N, right.mutable_data_ptr<BFloat16>());
  multiply(into.mutable_data_ptr<float>(), into.stride(0), a.const_data_ptr<BFloat16>(), a.stride(0), right.const_data_ptr<BFloat16>(), M,
           N, K, overwrite);
}

}  // namespace isotrope

#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

/// into [M, N] fp32 += aᵀ · b (= where `overwrite`), for a [K, M], b [K, N] of one dtype: the gradient of a weight, summed in fp32 where it
/// is kept, without a copy in bf16 on the way. bf16 on the CPU by own blocks (block_gemm.h); anything else through libtorch. The same bits
/// for any number of threads.
void add_outer_product_(at::Tensor& into, const at::Tensor& a, const at::Tensor& b, bool overwrite = false);

namespace reference {
void add_outer_product_(at::Tensor& into, const at::Tensor& a, const at::Tensor& b);
}  // namespace reference

}  // namespace isotrope

#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

/// Whether onednn_linear() has this product: fp32 on the CPU, W a whole matrix [N, K], no gradient recorded, and a libtorch that was built
/// with oneDNN.
bool takes_onednn(const at::Tensor& x, const at::Tensor& weight);

/// y [..., N] = x [..., K] · Wᵀ + b, b may be undefined: oneDNN's product of matrices as they lie, where at::linear takes the BLAS, whose
/// fp32 kernel for AVX2 is the slower one on AMD (docs/why/performance.md).
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace isotrope

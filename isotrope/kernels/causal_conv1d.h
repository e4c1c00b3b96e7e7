#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

struct ConvolutionOptions {
  bool silu = false;         ///< the result goes through silu
  at::Tensor documents;      ///< [B, T] int64: no tap reaches into the document before
  at::Tensor initial_state;  ///< [B, K − 1, channels], as x: what stands before the first token; undefined: zeros
};

/// y_t = bias + Σ_{j<K} weight[:, j] · x_{t−(K−1)+j}, each channel by itself. x [B, T, channels] fp32 or bf16, weight [channels, K] and
/// bias [channels] (may be undefined) of that dtype or fp32; sums and silu in fp32, one rounding. Differentiable in all of them. Own kernel
/// on the CPU.
at::Tensor causal_conv1d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionOptions& options = {});

namespace reference {
/// Shifts and additions.
at::Tensor causal_conv1d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionOptions& options = {});
}  // namespace reference

}  // namespace isotrope

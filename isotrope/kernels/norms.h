#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

/// y = x / sqrt(mean(x²) + eps) · gain over the last axis (Zhang & Sennrich 2019).
/// x [..., d] fp32 or bf16, gain [d] of the same dtype; sums in fp32, one rounding at the end. Differentiable in both.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);

/// y = (x − mean) / sqrt(var + eps) · gain + bias over the last axis (Ba et al. 2016); as above. Differentiable in all three; an undefined
/// bias: none.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps);

/// A residual stream and what a norm reads from it.
struct Residual {
  at::Tensor sum;     ///< x + delta, rounded to the dtype of x
  at::Tensor normed;  ///< the norm of the sum
};

/// The addition into the residual stream and the norm behind it in one pass, forwards and backwards. An undefined delta: sum = x.
Residual add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& gain, double eps);
Residual add_layer_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& gain, const at::Tensor& bias, double eps);

namespace reference {
/// The same from tensor operations, in any dtype and on any device: what the tests compare with.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps);
}  // namespace reference

}  // namespace isotrope

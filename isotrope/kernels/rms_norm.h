#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

/// y = x / sqrt(mean(x²) + eps) · gain over the last axis (Zhang & Sennrich 2019).
/// x [..., d] fp32 or bf16, gain [d] of the same dtype; sums in fp32, one rounding at the end. Differentiable in both.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);

namespace reference {
/// The same from tensor operations, in any dtype and on any device: what the tests compare with.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);
}  // namespace reference

}  // namespace isotrope

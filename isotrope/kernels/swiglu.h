#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

/// silu(gate) · up, silu(x) = x / (1 + e^−x) (Shazeer 2020). gate, up [...] of one shape and dtype (fp32 or bf16); arithmetic in fp32,
/// one rounding at the end. Differentiable in both.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

namespace reference {
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
}  // namespace reference

}  // namespace isotrope

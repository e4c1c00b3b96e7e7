#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

/// silu(gate) · up, silu(x) = x / (1 + e^−x) (Shazeer 2020). gate, up [...] of one shape and dtype (fp32 or bf16); arithmetic in fp32,
/// one rounding at the end. Differentiable in both.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

/// ½x (1 + tanh(√(2/π) (x + 0.044715 x³))) (Hendrycks & Gimpel 2016, the approximation of GPT-2). Differentiable; arithmetic in fp32.
at::Tensor gelu_tanh(const at::Tensor& x);

/// x / (1 + e^−x), ½x (1 + erf(x/√2)), log(1 + e^x): libtorch's; inside a BatchInvariantScope own loops, in which it does not matter where
/// in the tensor a number stands.
at::Tensor silu(const at::Tensor& x);
at::Tensor gelu(const at::Tensor& x);
at::Tensor softplus(const at::Tensor& x);

namespace reference {
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
at::Tensor gelu_tanh(const at::Tensor& x);
}  // namespace reference

}  // namespace isotrope

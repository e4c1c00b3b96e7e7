#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace isotrope {

struct AdamWUpdate {
  double lr, beta1, beta2, eps, weight_decay;
  std::int64_t step;            ///< of this update, from 1: the bias corrections
  double gradient_scale = 1.0;  ///< the clipping factor, applied to the gradient as it is read
};

/// One AdamW update in place (Loshchilov & Hutter 2019, as torch.optim.AdamW computes it):
///   w ← (1 − lr·λ) w;  m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  w ← w − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
/// All tensors flat, fp32 and of one length; `working`, if defined, receives the new weights rounded to bf16 in the same pass.
void adamw_(at::Tensor& weights, at::Tensor& exp_avg, at::Tensor& exp_avg_sq, const at::Tensor& gradient, at::Tensor working,
            const AdamWUpdate& update);

/// Σ x² of each of these contiguous tensors, in double; of fp32 on the CPU over blocks of fixed size added in order: the same bits for any
/// number of threads, and wherever the tensor lies.
std::vector<double> squared_norms(std::span<const at::Tensor> tensors);
double squared_norm(const at::Tensor& tensor);

namespace reference {
void adamw_(at::Tensor& weights, at::Tensor& exp_avg, at::Tensor& exp_avg_sq, const at::Tensor& gradient, at::Tensor working,
            const AdamWUpdate& update);
}  // namespace reference

}  // namespace isotrope

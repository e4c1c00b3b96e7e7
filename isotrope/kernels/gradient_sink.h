#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

/// Where the gradient of a weight is summed in fp32 as the backward pass makes it, in the place where the optimizer reads it; autograd then
/// carries no gradient for that weight: no temporary in the weight's own dtype, no rounding to it, no copy. Belongs to the weight's tensor.
struct GradientSink final : c10::BackendMeta {
  at::Tensor value;   ///< fp32, shape of the weight; of undefined content while `empty`
  bool empty = true;  ///< nothing has been added yet: the first addition overwrites

  /// The content, zeros where nothing has been added.
  at::Tensor& filled();
};

/// Gives `weight` a sink that writes to `value`, or takes it away (undefined).
void attach_gradient_sink(const at::Tensor& weight, const at::Tensor& value);
/// The sink of a weight, or null.
GradientSink* gradient_sink(const at::Tensor& weight);

/// sink [M, N] += aᵀ · b (kernels/weight_gradient.h).
void add_outer_product_(GradientSink& sink, const at::Tensor& a, const at::Tensor& b);

/// y = x Wᵀ + b, W [out, in] (or x W + b, W [in, out], where `transposed`). Differentiable; W's gradient goes to its sink if it has one.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool transposed);

/// Rows ids [...] of table [V, d]. Differentiable in the table, likewise.
at::Tensor embedding_lookup(const at::Tensor& table, const at::Tensor& ids);

}  // namespace isotrope

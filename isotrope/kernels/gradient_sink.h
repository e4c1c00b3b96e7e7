#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

/// Where the gradient of a weight is summed in fp32 as the backward pass makes it, in the place where the optimizer reads it; autograd then
/// carries no gradient for that weight: no temporary in the weight's own dtype, no rounding to it, no copy. Belongs to the weight's slot
/// (kernels/linear.h).
struct GradientSink {
  at::Tensor value;   ///< fp32, shape of the weight; of undefined content while `empty`; undefined: autograd carries the gradient
  bool empty = true;  ///< nothing has been added yet: the first addition overwrites

  explicit operator bool() const { return value.defined(); }
  /// The content, zeros where nothing has been added.
  at::Tensor& filled();
};

/// sink [M, N] += aᵀ · b (kernels/weight_gradient.h).
void add_outer_product_(GradientSink& sink, const at::Tensor& a, const at::Tensor& b);
/// sink += gradient, of the same shape.
void add_(GradientSink& sink, const at::Tensor& gradient);

}  // namespace isotrope

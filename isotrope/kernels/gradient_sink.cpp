#include "isotrope/kernels/gradient_sink.h"

#include <ATen/ATen.h>

#include "isotrope/kernels/weight_gradient.h"

namespace isotrope {

at::Tensor& GradientSink::filled() {
  if (empty) value.zero_(), empty = false;
  return value;
}

void add_outer_product_(GradientSink& sink, const at::Tensor& a, const at::Tensor& b) {
  add_outer_product_(sink.value, a, b, /*overwrite=*/sink.empty);
  sink.empty = false;
}

void add_(GradientSink& sink, const at::Tensor& gradient) {
  if (sink.empty) sink.value.copy_(gradient), sink.empty = false;
  else sink.value.add_(gradient);
}

}  // namespace isotrope

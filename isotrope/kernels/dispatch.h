#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstdint>

#include "isotrope/base/error.h"
#include "isotrope/kernels/composed.h"

namespace isotrope {

/// True where our own CPU kernels apply; everything else, and everything inside a ComposedScope, takes the composed reference.
inline bool has_cpu_kernel(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && x.numel() > 0 && !is_composed();
}

/// Calls `body.template operator()<T>()` with T = float or BFloat16.
template <class Body>
void dispatch_float(at::ScalarType type, Body&& body) {
  if (type == at::kFloat) return body.template operator()<float>();
  if (type == at::kBFloat16) return body.template operator()<c10::BFloat16>();
  throw WorkError("kernels", "no kernel for dtype {}", c10::toString(type));
}

/// Rows of `width` elements that make one task of at::parallel_for worth starting (about 32k elements).
inline std::int64_t rows_per_task(std::int64_t width) { return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, width)); }

}  // namespace isotrope

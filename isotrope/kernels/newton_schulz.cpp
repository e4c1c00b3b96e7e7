#include "isotrope/kernels/newton_schulz.h"

#include <ATen/ATen.h>

#include <cmath>

#include "isotrope/kernels/adamw.h"

namespace isotrope {

at::Tensor newton_schulz(const at::Tensor& x, std::int64_t iterations) {
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  const bool tall = x.size(0) > x.size(1);
  const auto source = x.contiguous();
  auto y = (tall ? source.t() : source) / (std::sqrt(squared_norm(source)) + 1e-7);
  for (std::int64_t i = 0; i < iterations; ++i) {
    const auto gram = at::mm(y, y.t());
    y = at::addmm(y, at::addmm(gram, gram, gram, b, c), y, a);
  }
  return tall ? y.t() : y;
}

}  // namespace isotrope

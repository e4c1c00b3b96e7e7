#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/engine_support.h"

// What tests of kernels share: each against its composed reference in float64.
namespace isotrope::test {

using at::Tensor;
using torch::autograd::variable_list;

inline Tensor normal(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

inline Tensor leaf(const Tensor& value, at::ScalarType type) { return value.to(type).detach().clone().set_requires_grad(true); }

/// Runs `function` on leaves of `type` and in float64 on the same (already rounded) values; returns the largest relative
/// difference over the output and every input gradient.
inline double worst(const std::vector<Tensor>& inputs, at::ScalarType type, const auto& fast, const auto& slow) {
  variable_list a, b;
  for (const auto& input : inputs) a.push_back(leaf(input, type)), b.push_back(leaf(a.back(), at::kDouble));
  const auto out = fast(a), expected = slow(b);
  const auto upstream = normal(expected.sizes(), 99).to(type);
  const auto grads = torch::autograd::grad({out}, a, {upstream.to(out.scalar_type())});
  const auto expected_grads = torch::autograd::grad({expected}, b, {upstream.to(at::kDouble)});
  double largest = relative(out, expected);
  for (std::size_t i = 0; i < grads.size(); ++i) largest = std::max(largest, relative(grads[i], expected_grads[i]));
  return largest;
}

inline constexpr double fp32_bound = 2e-6, bf16_bound = 4e-3;  // bf16 keeps 8 bits: one rounding is up to 2^-9 = 2e-3 of a value

}  // namespace isotrope::test

#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "isotrope/kernels/linear.h"
#include "isotrope/kernels/norms.h"
#include "isotrope/nn/parameters.h"

namespace isotrope {

struct LinearOptions {
  bool bias = false;
  bool transposed = false;
  double std = 0.02;  ///< of the weight's initial values; the bias starts at 0
  /// The matrices that are stored as one, where there are several (MatrixForm).
  std::vector<std::int64_t> parts = {};
  std::int64_t blocks = 1;
};

/// Adds `name.weight` (class matrix) and, if asked, `name.bias` (class vector).
Linear add_linear(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t out, const LinearOptions& options);

/// Gain and bias of a layer norm: y = (x − mean) / sqrt(var + eps) · gain + bias; the bias may be undefined.
struct LayerNorm {
  at::Tensor gain, bias;
  double eps = 1e-5;
  at::Tensor operator()(const at::Tensor& x) const;
  /// x + delta and its norm in one pass.
  Residual after(const at::Tensor& x, const at::Tensor& delta) const;
};

LayerNorm add_layer_norm(Parameters& parameters, const std::string& name, std::int64_t width, double eps, bool bias = true);

/// y = x / sqrt(mean(x²) + eps) · gain.
struct RmsNorm {
  at::Tensor gain;
  double eps = 1e-6;
  at::Tensor operator()(const at::Tensor& x) const { return rms_norm(x, gain, eps); }
  /// x + delta and its norm in one pass.
  Residual after(const at::Tensor& x, const at::Tensor& delta) const { return add_rms_norm(x, delta, gain, eps); }
};

/// Its gain is `name.weight`.
RmsNorm add_rms_norm(Parameters& parameters, const std::string& name, std::int64_t width, double eps);

enum class Activation { gelu, gelu_tanh, relu, silu };
/// From transformers' names (gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish …); InputError names an unknown one and `file`.
Activation activation_from_name(const std::string& name, const std::string& file);
at::Tensor activate(const at::Tensor& x, Activation activation);

}  // namespace isotrope

#include "isotrope/nn/layers.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/activations.h"

namespace isotrope {

Linear add_linear(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t out, const LinearOptions& options) {
  const std::vector<std::int64_t> shape = options.transposed ? std::vector{in, out} : std::vector{out, in};
  Linear linear(parameters.add_matrix(name + ".weight", shape, ParameterClass::matrix, {.std = options.std},
                                      {.transposed = options.transposed, .parts = options.parts, .blocks = options.blocks}));
  if (options.bias) linear.bias = parameters.add(name + ".bias", {out}, ParameterClass::vector, {Initialization::Kind::zeros});
  return linear;
}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const { return layer_norm(x, gain, bias, eps); }

Residual LayerNorm::after(const at::Tensor& x, const at::Tensor& delta) const { return add_layer_norm(x, delta, gain, bias, eps); }

LayerNorm add_layer_norm(Parameters& parameters, const std::string& name, std::int64_t width, double eps, bool bias) {
  LayerNorm norm{.gain = parameters.add(name + ".weight", {width}, ParameterClass::vector, {Initialization::Kind::ones}), .eps = eps};
  if (bias) norm.bias = parameters.add(name + ".bias", {width}, ParameterClass::vector, {Initialization::Kind::zeros});
  return norm;
}

RmsNorm add_rms_norm(Parameters& parameters, const std::string& name, std::int64_t width, double eps) {
  return {parameters.add(name + ".weight", {width}, ParameterClass::vector, {Initialization::Kind::ones}), eps};
}

Activation activation_from_name(const std::string& name, const std::string& file) {
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  if (name == "silu" || name == "swish") return Activation::silu;
  throw InputError("model", "{}: activation \"{}\" is not supported (gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish)", file, name);
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::gelu: return isotrope::gelu(x);
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::relu: return at::relu(x);
    case Activation::silu: return isotrope::silu(x);
  }
  return x;
}

}  // namespace isotrope

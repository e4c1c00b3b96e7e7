#include "isotrope/nn/mamba_mixer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "isotrope/kernels/activations.h"
#include "isotrope/kernels/causal_conv1d.h"
#include "isotrope/kernels/norms.h"
#include "isotrope/kernels/selective_scan.h"

namespace isotrope {

namespace {

at::Tensor times(const at::Tensor& x, double multiplier) { return multiplier == 1 ? x : x * multiplier; }

at::Tensor wide(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

/// The RMS norm of each of `groups` stretches of channels by itself.
at::Tensor grouped_rms_norm(const at::Tensor& x, const at::Tensor& gain, std::int64_t groups, double eps) {
  if (groups == 1) return rms_norm(x, gain, eps);
  const auto each = x.size(-1) / groups;
  const auto parts = x.split(each, -1), gains = gain.split(each);
  std::vector<at::Tensor> normed;
  for (std::size_t i = 0; i < parts.size(); ++i) normed.push_back(rms_norm(parts[i], gains[i], eps));
  return at::cat(normed, -1);
}

}  // namespace

MambaMixer::MambaMixer(Parameters& parameters, const std::string& name, const MambaMixerOptions& options) : o_(options) {
  using Kind = Initialization::Kind;
  const auto vector = [&](const char* suffix, std::vector<std::int64_t> shape, Initialization init, MatrixForm form = {}) {
    return parameters.add(name + suffix, std::move(shape), ParameterClass::vector, init, std::move(form));
  };
  const auto inner = o_.inner(), channels = o_.channels(), shared = o_.groups * o_.states;
  in_proj_ = add_linear(parameters, name + ".in_proj", o_.width, inner + channels + o_.heads,
                        {.bias = o_.projection_bias, .std = o_.std, .parts = {inner, inner, shared, shared, o_.heads}});  // z, x, B, C, dt
  // The variance of libtorch's own start of a convolution, uniform in ±1/√K.
  conv_weight_ =
      vector(".conv1d.weight", {channels, 1, o_.taps}, {.std = 1 / std::sqrt(3.0 * static_cast<double>(o_.taps))}, {.convolution = true});
  if (o_.convolution_bias) conv_bias_ = vector(".conv1d.bias", {channels}, {Kind::zeros});
  dt_bias_ = vector(".dt_bias", {o_.heads},
                    {.kind = Kind::time_step, .low = o_.initial_step_low, .high = o_.initial_step_high, .floor = o_.initial_step_floor});
  A_log_ = vector(".A_log", {o_.heads}, {.kind = Kind::log_uniform, .low = 1, .high = 16});
  D_ = vector(".D", {o_.heads}, {Kind::ones});
  if (o_.norm != GatedNorm::none) norm_ = vector(".norm.weight", {inner}, {Kind::ones});
  out_proj_ = add_linear(parameters, name + ".out_proj", inner, o_.width, {.bias = o_.output_bias, .std = o_.output_std});
}

at::Tensor MambaMixer::operator()(const at::Tensor& u, const at::Tensor& documents, KvCache* cache, std::int64_t layer) const {
  auto* state = cache ? &cache->recurrent(layer, u.size(1)) : nullptr;
  const auto shared = o_.groups * o_.states;
  const auto projected = in_proj_(u).split_with_sizes({o_.inner(), o_.channels(), o_.heads}, 2);
  const auto mixed = convolved(projected[1], documents, state).split_with_sizes({o_.inner(), shared, shared}, 2);
  const auto dt = isotrope::softplus(times(wide(projected[2]), o_.multipliers[4]) + wide(dt_bias_)).clamp(o_.least_step, o_.largest_step);
  const auto scanned = selective_scan({.x = mixed[0].unflatten(2, {o_.heads, o_.head_dim}),
                                       .dt = dt,
                                       .A = -at::exp(wide(A_log_)),
                                       .B = mixed[1].unflatten(2, {o_.groups, o_.states}),
                                       .C = mixed[2].unflatten(2, {o_.groups, o_.states}),
                                       .D = wide(D_)},
                                      {.documents = documents, .initial_state = state ? state->state : at::Tensor()});
  if (state) state->state = scanned.state;
  return out_proj_(gated(scanned.y.flatten(2), times(projected[0], o_.multipliers[0])));
}

/// silu of the convolution of x, B and C. Their multipliers go into its weight, in fp32: it is linear.
at::Tensor MambaMixer::convolved(const at::Tensor& inputs, const at::Tensor& documents, RecurrentState* state) const {
  auto weight = conv_weight_.squeeze(1);
  const auto& m = o_.multipliers;
  if (m[1] != 1 || m[2] != 1 || m[3] != 1) {
    const auto shared = o_.groups * o_.states;
    const auto parts = wide(weight).split_with_sizes({o_.inner(), shared, shared});
    weight = at::cat({parts[0] * m[1], parts[1] * m[2], parts[2] * m[3]});
  }
  ConvolutionOptions options{.silu = true, .documents = documents};
  if (state) {
    const auto kept = o_.taps - 1, fresh = std::min(kept, inputs.size(1));
    options.initial_state = state->inputs.defined() ? state->inputs : at::zeros({inputs.size(0), kept, o_.channels()}, inputs.options());
    state->inputs = at::cat({options.initial_state.narrow(1, fresh, kept - fresh), inputs.narrow(1, inputs.size(1) - fresh, fresh)}, 1);
  }
  return causal_conv1d(inputs, weight, conv_bias_, options);
}

at::Tensor MambaMixer::gated(const at::Tensor& y, const at::Tensor& z) const {
  const auto norm = [&](const at::Tensor& x) { return grouped_rms_norm(x, norm_, o_.groups, o_.norm_eps); };
  if (o_.norm == GatedNorm::before_gate) return swiglu(z, norm(y));
  const auto open = swiglu(z, y);
  return o_.norm == GatedNorm::after_gate ? norm(open) : open;
}

std::int64_t recurrence_flops(const MambaMixerOptions& o) { return 5 * o.inner() * o.states + 2 * o.taps * o.channels(); }

}  // namespace isotrope

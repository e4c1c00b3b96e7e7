#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <limits>
#include <string>

#include "isotrope/nn/kv_cache.h"
#include "isotrope/nn/layers.h"

namespace isotrope {

enum class GatedNorm { none, before_gate, after_gate };

struct MambaMixerOptions {
  std::int64_t width, heads, head_dim, groups, states, taps;  ///< d, H, P, G, N, K
  bool projection_bias = false, convolution_bias = true, output_bias = false;
  GatedNorm norm = GatedNorm::none;
  double norm_eps = 1e-5;
  double least_step = 0, largest_step = std::numeric_limits<double>::infinity();  ///< limits of dt
  std::array<double, 5> multipliers{1, 1, 1, 1, 1};                               ///< of z, x, B, C, dt as they come from the projection
  double std = 0.02, output_std = 0.02;                                           ///< of the projections' initial values
  double initial_step_low = 1e-3, initial_step_high = 0.1, initial_step_floor = 1e-4;

  std::int64_t inner() const { return heads * head_dim; }
  std::int64_t channels() const { return inner() + 2 * groups * states; }  ///< of the convolution: x, B, C
};

/// The mixer of Mamba-2 (Dao & Gu 2024, arXiv 2405.21060, section 7): one projection to z, x, B, C and dt; a causal convolution with silu
/// over x, B, C; the selective scan; the gate silu(z), perhaps with an RMS norm over each group's channels; a projection back.
/// Names below `name` are transformers': in_proj, conv1d, dt_bias, A_log, D, norm, out_proj.
class MambaMixer {
 public:
  MambaMixer(Parameters& parameters, const std::string& name, const MambaMixerOptions& options);
  /// u [B, T, d] → [B, T, d]. documents [B, T] or undefined. With a cache goes on from the state of `layer` and leaves the new one there.
  at::Tensor operator()(const at::Tensor& u, const at::Tensor& documents, KvCache* cache, std::int64_t layer) const;

 private:
  at::Tensor convolved(const at::Tensor& inputs, const at::Tensor& documents, RecurrentState* state) const;
  at::Tensor gated(const at::Tensor& y, const at::Tensor& z) const;

  MambaMixerOptions o_;
  Linear in_proj_, out_proj_;
  at::Tensor conv_weight_, conv_bias_, dt_bias_, A_log_, D_, norm_;
};

/// Operations of the scan and the convolution for one token, forward: 5 a number of state (decay, input, two sums and the product with C),
/// 2K a channel.
std::int64_t recurrence_flops(const MambaMixerOptions& options);

}  // namespace isotrope

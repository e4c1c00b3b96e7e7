#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "isotrope/models/model.h"
#include "isotrope/nn/layers.h"
#include "isotrope/nn/positions.h"

namespace isotrope {

struct RotaryAttentionOptions {
  std::int64_t width, heads, kv_heads, head_dim, max_positions;
  double std, norm_eps, dropout = 0;
  bool qkv_bias = false, output_bias = false;
  bool qk_norm = false;       ///< an RMSNorm over each head of q and k before the rotation (Qwen3)
  double key_multiplier = 1;  ///< of the keys (Falcon-H1)
};

/// Grouped-query attention with rotary positions (Ainslie et al. 2023, arXiv 2305.13245; Su et al. 2021, arXiv 2104.09864), as Llama and its
/// descendants have it. Names below `name` are transformers': q_proj, k_proj, v_proj, o_proj, q_norm, k_norm.
class RotaryAttention {
 public:
  RotaryAttention(Parameters& parameters, const std::string& name, const RotaryAttentionOptions& options);
  /// u [B, T, d] → [B, T, d]. With a cache, reads and extends that of `layer`. `window`: farther keys are hidden (kernels/attention.h).
  at::Tensor operator()(const at::Tensor& u, const at::Tensor& positions, RopeTables& rope, const ForwardContext& context,
                        std::int64_t layer, std::optional<std::int64_t> window = {}) const;

 private:
  RotaryAttentionOptions o_;
  Linear q_, k_, v_, output_;
  RmsNorm q_norm_, k_norm_;
};

}  // namespace isotrope

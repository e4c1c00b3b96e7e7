#include "isotrope/models/rotary_attention.h"

#include <ATen/ATen.h>

#include "isotrope/kernels/rope.h"
#include "isotrope/nn/attend.h"

namespace isotrope {

RotaryAttention::RotaryAttention(Parameters& parameters, const std::string& name, const RotaryAttentionOptions& options) : o_(options) {
  const auto d = o_.width, q = o_.heads * o_.head_dim, kv = o_.kv_heads * o_.head_dim;
  const LinearOptions into{.bias = o_.qkv_bias, .std = o_.std};
  q_ = add_linear(parameters, name + ".q_proj", d, q, into);
  k_ = add_linear(parameters, name + ".k_proj", d, kv, into);
  v_ = add_linear(parameters, name + ".v_proj", d, kv, into);
  output_ = add_linear(parameters, name + ".o_proj", q, d, {.bias = o_.output_bias, .std = o_.std});
  if (!o_.qk_norm) return;
  q_norm_ = add_rms_norm(parameters, name + ".q_norm", o_.head_dim, o_.norm_eps);
  k_norm_ = add_rms_norm(parameters, name + ".k_norm", o_.head_dim, o_.norm_eps);
}

at::Tensor RotaryAttention::operator()(const at::Tensor& u, const at::Tensor& positions, RopeTables& tables, const ForwardContext& context,
                                       std::int64_t layer, std::optional<std::int64_t> window) const {
  const auto tokens = u.size(1);
  const auto projected = linears(u, {&q_, &k_, &v_});
  const auto heads = [&](std::size_t i) { return projected[i].view({u.size(0), tokens, -1, o_.head_dim}); };
  const auto past = context.cache ? context.cache->length() : 0;
  const auto& table = tables.at_least(context.positions.defined() ? o_.max_positions : past + tokens, u.device());
  auto q = heads(0), k = heads(1);
  if (o_.qk_norm) q = q_norm_(q), k = k_norm_(k);
  if (o_.key_multiplier != 1) k = k * o_.key_multiplier;
  const auto options = context.attention({.window = window}, o_.dropout);
  return output_(attend(rope(q, table, positions), rope(k, table, positions), heads(2), options, context.cache, layer));
}

}  // namespace isotrope

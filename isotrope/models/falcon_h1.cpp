// Falcon-H1: in every layer an attention and a Mamba-2 mixer side by side on the same norm, then a gated MLP; fixed multipliers on the way
// (µP's, written into the config).
// Source: Zuo et al. 2025 (arXiv 2507.22448); names as in transformers' FalconH1ForCausalLM.
#include <ATen/ATen.h>

#include <tuple>

#include "isotrope/base/error.h"
#include "isotrope/kernels/activations.h"
#include "isotrope/models/registry.h"
#include "isotrope/models/rope_scaling.h"
#include "isotrope/models/rotary_attention.h"
#include "isotrope/nn/layers.h"
#include "isotrope/nn/mamba_mixer.h"
#include "isotrope/nn/positions.h"

namespace isotrope {

namespace {

struct FalconH1Config {
  std::int64_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim, vocab_size,
      max_position_embeddings;
  double rms_norm_eps, initializer_range, attention_dropout;
  bool tie_word_embeddings, attention_bias, mlp_bias;
  double embedding_multiplier, lm_head_multiplier, key_multiplier, attention_in_multiplier, attention_out_multiplier, ssm_in_multiplier,
      ssm_out_multiplier;
  std::vector<double> mlp_multipliers;  // of the gate, of the output
  MambaMixerOptions mixer;
};

/// mamba_d_ssm channels in mamba_n_heads heads; null: mamba_expand · hidden_size, "auto": what the heads leave.
MambaMixerOptions read_mixer(ConfigFields& fields, const FalconH1Config& c) {
  MambaMixerOptions m{.width = c.hidden_size};
  const auto expanded = fields.integer("mamba_expand", 2) * c.hidden_size;
  const bool null = fields.json().contains("mamba_d_ssm") && !fields.has("mamba_d_ssm");
  const auto inner = fields.integer("mamba_d_ssm", null ? expanded : 1024);
  m.heads = fields.integer("mamba_n_heads", 128);
  const auto shared_out = fields.divided("mamba_d_ssm", inner, "mamba_n_heads", m.heads);
  const bool automatic = fields.has("mamba_d_head") && fields.json().at("mamba_d_head") == "auto";
  m.head_dim = automatic ? shared_out : fields.integer("mamba_d_head", shared_out);
  fields.inert({"mamba_d_head"});
  if (m.inner() != inner)
    throw InputError("model", "{}: mamba_d_head = {} times mamba_n_heads = {} is not mamba_d_ssm = {}", fields.name(), m.head_dim, m.heads,
                     inner);
  m.groups = fields.integer("mamba_n_groups", 1);
  fields.divided("mamba_n_heads", m.heads, "mamba_n_groups", m.groups);
  m.states = fields.integer("mamba_d_state", 256);
  m.taps = fields.integer("mamba_d_conv", 4);
  m.projection_bias = fields.boolean("mamba_proj_bias", false);
  m.convolution_bias = fields.boolean("mamba_conv_bias", true);
  m.output_bias = fields.boolean("projectors_bias", false);
  const bool before = fields.boolean("mamba_norm_before_gate", true);
  if (fields.boolean("mamba_rms_norm", false)) m.norm = before ? GatedNorm::before_gate : GatedNorm::after_gate;
  m.norm_eps = c.rms_norm_eps;
  std::tie(m.least_step, m.largest_step) = fields.interval("time_step_limit", m.least_step, m.largest_step);
  const auto multipliers = fields.numbers("ssm_multipliers", {1, 1, 1, 1, 1});
  std::ranges::copy(multipliers, m.multipliers.begin());
  m.std = m.output_std = c.initializer_range;
  return m;
}

FalconH1Config read_falcon_h1_config(ConfigFields& fields) {
  FalconH1Config c{};
  c.hidden_size = fields.integer("hidden_size", 4096);
  c.intermediate_size = fields.integer("intermediate_size", 14336);
  c.num_hidden_layers = fields.layers("num_hidden_layers", 32);
  c.num_attention_heads = fields.integer("num_attention_heads", 32);
  const bool null = fields.json().contains("num_key_value_heads") && !fields.has("num_key_value_heads");
  c.num_key_value_heads = fields.integer("num_key_value_heads", null ? c.num_attention_heads : 8);
  fields.divided("num_attention_heads", c.num_attention_heads, "num_key_value_heads", c.num_key_value_heads);
  c.head_dim = fields.integer("head_dim", c.hidden_size / c.num_attention_heads);
  if (c.head_dim < 2 || c.head_dim % 2 != 0)
    throw InputError("model", "{}: head_dim {} is not even, as rotary positions need", fields.name(), c.head_dim);
  c.vocab_size = fields.integer("vocab_size", 128000);
  c.max_position_embeddings = fields.integer("max_position_embeddings", 8192);
  c.rms_norm_eps = fields.positive("rms_norm_eps", 1e-5);
  c.initializer_range = fields.number("initializer_range", 0.02);
  c.attention_dropout = fields.rate("attention_dropout", 0);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  c.attention_bias = fields.boolean("attention_bias", false);
  c.mlp_bias = fields.boolean("mlp_bias", false);
  c.embedding_multiplier = fields.number("embedding_multiplier", 1);
  c.lm_head_multiplier = fields.number("lm_head_multiplier", 1);
  c.key_multiplier = fields.number("key_multiplier", 1);
  c.attention_in_multiplier = fields.number("attention_in_multiplier", 1);
  c.attention_out_multiplier = fields.number("attention_out_multiplier", 1);
  c.ssm_in_multiplier = fields.number("ssm_in_multiplier", 1);
  c.ssm_out_multiplier = fields.number("ssm_out_multiplier", 1);
  c.mlp_multipliers = fields.numbers("mlp_multipliers", {1, 1});
  c.mixer = read_mixer(fields, c);
  fields.only("hidden_act", "silu");
  fields.only("mamba_use_mlp", true);
  fields.only("attn_layer_indices", nullptr);
  // How transformers cuts the scan and generates; what stands beside intermediate_size; rotary positions, read with their scaling.
  fields.inert({"mamba_chunk_size", "num_logits_to_keep", "mlp_expansion_factor", "rope_theta", "rope_scaling", "rope_parameters"});
  return c;
}

at::Tensor times(const at::Tensor& x, double multiplier) { return multiplier == 1 ? x : x * multiplier; }

struct FalconH1Block {
  std::int64_t index;
  RmsNorm input_norm, pre_ff_norm;
  MambaMixer mixer;
  RotaryAttention attention;
  Linear gate, up, down;
};

class FalconH1 final : public Model {
 public:
  FalconH1(ConfigFields& fields, const ModelOptions& options)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)),
        c_(read_falcon_h1_config(fields)),
        rope_(read_rope_scaling(fields.json(), fields.name()), c_.head_dim) {
    const auto d = c_.hidden_size;
    shape_ = {c_.vocab_size,          d,           c_.num_hidden_layers,      c_.num_attention_heads,
              c_.num_key_value_heads, c_.head_dim, c_.max_position_embeddings};
    shape_.recurrence_flops = recurrence_flops(c_.mixer);
    embedding_ =
        parameters_.add_matrix("model.embed_tokens.weight", {c_.vocab_size, d}, ParameterClass::embedding, {.std = c_.initializer_range});
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) blocks_.push_back(add_block(i));
    final_norm_ = add_rms_norm(parameters_, "model.final_layernorm", d, c_.rms_norm_eps);
    if (c_.tie_word_embeddings) head_ = embedding_;
    else if (!fields.is_bare())
      head_ = parameters_.add_matrix("lm_head.weight", {c_.vocab_size, d}, ParameterClass::head, {.std = c_.initializer_range});
  }

  at::Tensor embed(const at::Tensor& ids) const override { return times(embedding_lookup(embedding_, ids), c_.embedding_multiplier); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    const auto positions = positions_of(embeddings, context);
    auto x = embeddings;
    x = context.tap("embed", -1, x);
    for (const auto& block : blocks_) {
      x = forward(block, x, positions, context);
      x = context.tap("resid_post", block.index, x);
    }
    if (context.cache) context.cache->advance(embeddings.size(1));
    x = final_norm_(x);
    return context.tap("final_norm", -1, x);
  }

  at::Tensor head_input(const at::Tensor& hidden) const override { return times(hidden, c_.lm_head_multiplier); }
  std::string prefix() const override { return "model."; }
  bool is_buffer(std::string_view name) const override { return name.ends_with("rotary_emb.inv_freq") || name.ends_with(".mup_vector"); }

 private:
  FalconH1Block add_block(std::int64_t index) {
    const auto name = "model.layers." + std::to_string(index) + ".";
    const LinearOptions mlp{.bias = c_.mlp_bias, .std = c_.initializer_range};
    const auto d = c_.hidden_size, ff = c_.intermediate_size;
    const RotaryAttentionOptions attention{.width = d,
                                           .heads = c_.num_attention_heads,
                                           .kv_heads = c_.num_key_value_heads,
                                           .head_dim = c_.head_dim,
                                           .max_positions = c_.max_position_embeddings,
                                           .std = c_.initializer_range,
                                           .norm_eps = c_.rms_norm_eps,
                                           .dropout = c_.attention_dropout,
                                           .qkv_bias = c_.attention_bias,
                                           .output_bias = c_.attention_bias,
                                           .key_multiplier = c_.key_multiplier};
    const auto input_norm = add_rms_norm(parameters_, name + "input_layernorm", d, c_.rms_norm_eps);
    FalconH1Block b{.index = index,
                    .input_norm = input_norm,
                    .mixer = MambaMixer(parameters_, name + "mamba", c_.mixer),
                    .attention = RotaryAttention(parameters_, name + "self_attn", attention)};
    b.pre_ff_norm = add_rms_norm(parameters_, name + "pre_ff_layernorm", d, c_.rms_norm_eps);
    b.gate = add_linear(parameters_, name + "feed_forward.gate_proj", d, ff, mlp);
    b.up = add_linear(parameters_, name + "feed_forward.up_proj", d, ff, mlp);
    b.down = add_linear(parameters_, name + "feed_forward.down_proj", ff, d, mlp);
    return b;
  }

  at::Tensor forward(const FalconH1Block& b, const at::Tensor& x, const at::Tensor& positions, const ForwardContext& context) {
    const auto u = b.input_norm(x);
    const auto mixed =
        context.tap("ssm_out", b.index,
                    times(b.mixer(times(u, c_.ssm_in_multiplier), context.documents, context.cache, b.index), c_.ssm_out_multiplier));
    const auto attended = context.tap(
        "attn_out", b.index,
        times(b.attention(times(u, c_.attention_in_multiplier), positions, rope_, context, b.index), c_.attention_out_multiplier));
    const auto [middle, v] = context.tap.residual("resid_mid", b.index, b.pre_ff_norm.after(x, mixed + attended), b.pre_ff_norm);
    const auto inner = linears(v, {&b.gate, &b.up});
    const auto transformed =
        context.tap("mlp_out", b.index, times(b.down(swiglu(times(inner[0], c_.mlp_multipliers[0]), inner[1])), c_.mlp_multipliers[1]));
    return middle + transformed;
  }

  FalconH1Config c_;
  RopeTables rope_;
  std::vector<FalconH1Block> blocks_;
  Slot embedding_;
  RmsNorm final_norm_;
};

const Family falcon_h1_family{
    "falcon_h1", {"FalconH1ForCausalLM", "FalconH1Model"}, [](ConfigFields& fields, const ModelOptions& options) -> std::unique_ptr<Model> {
      return std::make_unique<FalconH1>(fields, options);
    }};

}  // namespace
}  // namespace isotrope

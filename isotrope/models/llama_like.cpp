#include "isotrope/models/llama_like.h"

#include "isotrope/base/error.h"
#include "isotrope/kernels/activations.h"
#include "isotrope/models/rope_scaling.h"
#include "isotrope/models/rotary_attention.h"
#include "isotrope/models/task_head.h"
#include "isotrope/nn/layers.h"
#include "isotrope/nn/positions.h"

namespace isotrope {

LlamaLikeConfig read_llama_like(ConfigFields& fields, const LlamaLikeDefaults& defaults) {
  LlamaLikeConfig c{};
  c.hidden_size = fields.integer("hidden_size");
  c.intermediate_size = fields.integer("intermediate_size");
  c.num_hidden_layers = fields.layers("num_hidden_layers", std::nullopt);
  c.num_attention_heads = fields.integer("num_attention_heads");
  // null means as many as there are heads, in every family; a field that is not there may mean another number.
  const bool own = defaults.kv_heads > 0 && !fields.json().contains("num_key_value_heads");
  c.num_key_value_heads = fields.integer("num_key_value_heads", own ? defaults.kv_heads : c.num_attention_heads);
  if (c.num_attention_heads % c.num_key_value_heads != 0)
    throw InputError("model", "{}: num_attention_heads = {} is not a multiple of num_key_value_heads = {}", fields.name(),
                     c.num_attention_heads, c.num_key_value_heads);
  c.head_dim = fields.integer("head_dim", defaults.head_dim > 0 ? defaults.head_dim : c.hidden_size / c.num_attention_heads);
  if (c.head_dim < 2 || c.head_dim % 2 != 0)
    throw InputError("model", "{}: head_dim {} is not even, as rotary positions need", fields.name(), c.head_dim);
  c.vocab_size = fields.integer("vocab_size");
  c.max_position_embeddings = fields.integer("max_position_embeddings", defaults.max_positions);
  c.rms_norm_eps = fields.positive("rms_norm_eps", 1e-6);
  c.initializer_range = fields.number("initializer_range", 0.02);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  fields.only("hidden_act", "silu");
  c.attention_dropout = fields.rate("attention_dropout", 0);
  fields.inert({"rope_theta", "rope_scaling", "rope_parameters"});
  return c;
}

namespace {

struct LlamaBlock {
  std::int64_t index;
  RmsNorm input_norm, post_attention_norm;
  RotaryAttention attention;
  Linear gate, up, down;
};

class LlamaLike final : public Model {
 public:
  LlamaLike(ConfigFields& fields, const ModelOptions& options, LlamaLikeConfig config)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)),
        c_(std::move(config)),
        rope_(read_rope_scaling(fields.json(), fields.name()), c_.head_dim) {
    shape_ = {c_.vocab_size,          c_.hidden_size, c_.num_hidden_layers,      c_.num_attention_heads,
              c_.num_key_value_heads, c_.head_dim,    c_.max_position_embeddings};
    embedding_ = parameters_.add_matrix("model.embed_tokens.weight", {c_.vocab_size, c_.hidden_size}, ParameterClass::embedding,
                                        {.std = c_.initializer_range});
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) blocks_.push_back(add_block(i));
    final_norm_ = add_rms_norm(parameters_, "model.norm", c_.hidden_size, c_.rms_norm_eps);
    if (c_.tie_word_embeddings && !fields.classifies_sequences()) head_ = embedding_;
    else if (!fields.is_bare())
      head_ =
          parameters_.add_matrix("lm_head.weight", {c_.vocab_size, c_.hidden_size}, ParameterClass::head, {.std = c_.initializer_range});
  }

  at::Tensor embed(const at::Tensor& ids) const override { return embedding_lookup(embedding_, ids); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    const auto positions = positions_of(embeddings, context);
    Stream stream{context.tap("embed", -1, embeddings), {}};
    for (const auto& block : blocks_) forward(block, stream, positions, context);
    if (context.cache) context.cache->advance(embeddings.size(1));
    auto last = final_norm_.after(stream.x, stream.delta);
    if (c_.num_hidden_layers > 0) last = context.tap.residual("resid_post", c_.num_hidden_layers - 1, last, final_norm_);
    return context.tap("final_norm", -1, last.normed);
  }

  std::string prefix() const override { return "model."; }
  bool is_buffer(std::string_view name) const override { return name.ends_with("rotary_emb.inv_freq"); }

 private:
  LlamaBlock add_block(std::int64_t index) {
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
                                           .qkv_bias = c_.qkv_bias,
                                           .output_bias = c_.output_bias,
                                           .qk_norm = c_.qk_norm};
    const auto input_norm = add_rms_norm(parameters_, name + "input_layernorm", d, c_.rms_norm_eps);
    LlamaBlock b{.index = index, .input_norm = input_norm, .attention = RotaryAttention(parameters_, name + "self_attn", attention)};
    b.post_attention_norm = add_rms_norm(parameters_, name + "post_attention_layernorm", d, c_.rms_norm_eps);
    b.gate = add_linear(parameters_, name + "mlp.gate_proj", d, ff, mlp);
    b.up = add_linear(parameters_, name + "mlp.up_proj", d, ff, mlp);
    b.down = add_linear(parameters_, name + "mlp.down_proj", ff, d, mlp);
    return b;
  }

  /// The residual stream between blocks: what the last block adds is added by the norm that reads the sum.
  struct Stream {
    at::Tensor x, delta;
  };

  void forward(const LlamaBlock& b, Stream& stream, const at::Tensor& positions, const ForwardContext& context) {
    auto before = b.input_norm.after(stream.x, stream.delta);
    if (b.index > 0) before = context.tap.residual("resid_post", b.index - 1, before, b.input_norm);
    const auto& [x, u] = before;
    const auto attended = context.tap("attn_out", b.index, b.attention(u, positions, rope_, context, b.index, window_of(b.index)));
    const auto [middle, v] = context.tap.residual("resid_mid", b.index, b.post_attention_norm.after(x, attended), b.post_attention_norm);
    const auto inner = linears(v, {&b.gate, &b.up});
    const auto transformed = context.tap("mlp_out", b.index, b.down(swiglu(inner[0], inner[1])));
    stream = {middle, transformed};
  }

  std::optional<std::int64_t> window_of(std::int64_t layer) const {
    return c_.windows.empty() ? std::nullopt : c_.windows[static_cast<std::size_t>(layer)];
  }

  LlamaLikeConfig c_;
  RopeTables rope_;
  std::vector<LlamaBlock> blocks_;
  Slot embedding_;
  RmsNorm final_norm_;
};

}  // namespace

std::unique_ptr<Model> make_llama_like(ConfigFields& fields, const ModelOptions& options, LlamaLikeConfig config) {
  return with_score_head(std::make_unique<LlamaLike>(fields, options, std::move(config)), fields);
}

}  // namespace isotrope

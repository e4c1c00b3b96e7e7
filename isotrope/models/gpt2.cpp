// GPT-2: pre-norm blocks, learned positions, one fused projection for query, key and value in Conv1D layout ([in, out]), tied head.
// Source: Radford et al. 2019; names as in transformers' GPT2LMHeadModel, whose initialisation (residual projections scaled by 1/√(2L)) is
// followed.
#include <cmath>

#include "isotrope/models/registry.h"
#include "isotrope/models/task_head.h"
#include "isotrope/nn/attend.h"
#include "isotrope/nn/layers.h"

namespace isotrope {

namespace {

struct Gpt2Config {
  std::int64_t n_embd, n_layer, n_head, n_positions, n_inner, vocab_size;
  double layer_norm_epsilon, initializer_range, embd_pdrop, attn_pdrop, resid_pdrop;
  bool tie_word_embeddings, scale_attn_weights, scale_attn_by_inverse_layer_idx;
  Activation activation_function;
};

Gpt2Config read_gpt2_config(ConfigFields& fields) {
  Gpt2Config c{};
  c.n_embd = fields.integer(fields.either("n_embd", "hidden_size"), 768);
  c.n_layer = fields.layers(fields.either("n_layer", "num_hidden_layers"), 12);
  c.n_head = fields.integer(fields.either("n_head", "num_attention_heads"), 12);
  c.n_positions = fields.integer(fields.either("n_positions", "max_position_embeddings"), 1024);
  c.n_inner = fields.integer("n_inner", 4 * c.n_embd);
  c.vocab_size = fields.integer("vocab_size", 50257);
  fields.divided("n_embd", c.n_embd, "n_head", c.n_head);
  c.layer_norm_epsilon = fields.positive("layer_norm_epsilon", 1e-5);
  c.initializer_range = fields.number("initializer_range", 0.02);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", true);
  c.scale_attn_weights = fields.boolean("scale_attn_weights", true);
  c.scale_attn_by_inverse_layer_idx = fields.boolean("scale_attn_by_inverse_layer_idx", false);
  c.activation_function = activation_from_name(fields.text("activation_function", "gelu_new"), fields.name());
  fields.only("add_cross_attention", false);
  c.embd_pdrop = fields.rate("embd_pdrop", 0.1);
  c.attn_pdrop = fields.rate("attn_pdrop", 0.1);
  c.resid_pdrop = fields.rate("resid_pdrop", 0.1);
  // Order of operations in half precision and the classifier's pooling decide nothing here.
  fields.inert({"reorder_and_upcast_attn", "n_ctx", "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type",
                "summary_use_proj"});
  return c;
}

struct Gpt2Block {
  std::int64_t index;
  LayerNorm ln_1, ln_2;
  Linear c_attn, attn_proj, c_fc, mlp_proj;
};

class Gpt2 final : public Model {
 public:
  Gpt2(ConfigFields& fields, const ModelOptions& options)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)), c_(read_gpt2_config(fields)) {
    shape_ = {c_.vocab_size, c_.n_embd, c_.n_layer, c_.n_head, c_.n_head, c_.n_embd / c_.n_head, c_.n_positions};
    wte_ = parameters_.add_matrix("transformer.wte.weight", {c_.vocab_size, c_.n_embd}, ParameterClass::embedding,
                                  {.std = c_.initializer_range});
    wpe_ = parameters_.add_matrix("transformer.wpe.weight", {c_.n_positions, c_.n_embd}, ParameterClass::embedding,
                                  {.std = c_.initializer_range});
    for (std::int64_t i = 0; i < c_.n_layer; ++i) blocks_.push_back(add_block(i));
    ln_f_ = add_layer_norm(parameters_, "transformer.ln_f", c_.n_embd, c_.layer_norm_epsilon);
    if (c_.tie_word_embeddings && !fields.classifies_sequences()) head_ = wte_;
    else if (!fields.is_bare())
      head_ = parameters_.add_matrix("lm_head.weight", {c_.vocab_size, c_.n_embd}, ParameterClass::head, {.std = c_.initializer_range});
  }

  at::Tensor embed(const at::Tensor& ids) const override { return embedding_lookup(wte_, ids); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    Stream stream{embeddings + embedding_lookup(wpe_, positions_of(embeddings, context)), {}};
    stream.x = context.dropout(stream.x, c_.embd_pdrop);
    stream.x = context.tap("embed", -1, stream.x);
    for (const auto& block : blocks_) forward(block, stream, context);
    if (context.cache) context.cache->advance(embeddings.size(1));
    auto last = ln_f_.after(stream.x, stream.delta);
    if (c_.n_layer > 0) last = context.tap.residual("resid_post", c_.n_layer - 1, last, ln_f_);
    return context.tap("final_norm", -1, last.normed);
  }

  std::string prefix() const override { return "transformer."; }
  bool is_buffer(std::string_view name) const override { return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"); }

 private:
  Gpt2Block add_block(std::int64_t index) {
    const auto name = "transformer.h." + std::to_string(index) + ".";
    const auto d = c_.n_embd;
    const LinearOptions plain{.bias = true, .transposed = true, .std = c_.initializer_range};
    const LinearOptions residual{
        .bias = true, .transposed = true, .std = c_.initializer_range / std::sqrt(2.0 * static_cast<double>(c_.n_layer))};
    Gpt2Block b{.index = index};
    b.ln_1 = add_layer_norm(parameters_, name + "ln_1", d, c_.layer_norm_epsilon);
    auto attention = plain;
    attention.parts = {d, d, d};
    b.c_attn = add_linear(parameters_, name + "attn.c_attn", d, 3 * d, attention);
    b.attn_proj = add_linear(parameters_, name + "attn.c_proj", d, d, residual);
    b.ln_2 = add_layer_norm(parameters_, name + "ln_2", d, c_.layer_norm_epsilon);
    b.c_fc = add_linear(parameters_, name + "mlp.c_fc", d, c_.n_inner, plain);
    b.mlp_proj = add_linear(parameters_, name + "mlp.c_proj", c_.n_inner, d, residual);
    return b;
  }

  /// The residual stream between blocks: what the last block adds is added by the norm that reads the sum.
  struct Stream {
    at::Tensor x, delta;
  };

  void forward(const Gpt2Block& b, Stream& stream, const ForwardContext& context) {
    auto before = b.ln_1.after(stream.x, stream.delta);
    if (b.index > 0) before = context.tap.residual("resid_post", b.index - 1, before, b.ln_1);
    const auto& [x, u] = before;
    const auto attended = context.tap("attn_out", b.index, context.dropout(self_attention(b, u, context), c_.resid_pdrop));
    const auto [middle, v] = context.tap.residual("resid_mid", b.index, b.ln_2.after(x, attended), b.ln_2);
    const auto transformed =
        context.tap("mlp_out", b.index, context.dropout(b.mlp_proj(activate(b.c_fc(v), c_.activation_function)), c_.resid_pdrop));
    stream = {middle, transformed};
  }

  at::Tensor self_attention(const Gpt2Block& b, const at::Tensor& u, const ForwardContext& context) {
    const auto qkv = b.c_attn(u).view({u.size(0), u.size(1), 3, c_.n_head, -1}).unbind(2);
    double scale = c_.scale_attn_weights ? 1.0 / std::sqrt(static_cast<double>(shape_.head_dim)) : 1.0;
    if (c_.scale_attn_by_inverse_layer_idx) scale /= static_cast<double>(b.index + 1);
    return b.attn_proj(attend(qkv[0], qkv[1], qkv[2], context.attention({.scale = scale}, c_.attn_pdrop), context.cache, b.index));
  }

  Gpt2Config c_;
  std::vector<Gpt2Block> blocks_;
  LayerNorm ln_f_;
  Slot wte_, wpe_;
};

const Family gpt2_family{"gpt2",
                         {"GPT2LMHeadModel", "GPT2ForSequenceClassification", "GPT2Model"},
                         [](ConfigFields& fields, const ModelOptions& options) -> std::unique_ptr<Model> {
                           return with_score_head(std::make_unique<Gpt2>(fields, options), fields);
                         }};

}  // namespace
}  // namespace isotrope

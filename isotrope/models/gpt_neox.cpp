// GPT-NeoX, as Pythia uses it: rotary positions on the first part of each head, attention and MLP side by side on the same residual stream,
// one fused projection whose rows run head by head (q, k, v of head 0, of head 1 …), untied head.
// Source: Black et al. 2022 (arXiv 2204.06745), Biderman et al. 2023 (arXiv 2304.01373); names as in transformers' GPTNeoXForCausalLM.
#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/models/registry.h"
#include "isotrope/models/rope_scaling.h"
#include "isotrope/models/task_head.h"
#include "isotrope/nn/attend.h"
#include "isotrope/nn/layers.h"
#include "isotrope/nn/positions.h"

namespace isotrope {

namespace {

struct NeoxConfig {
  std::int64_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, vocab_size, max_position_embeddings, rotary_dim;
  double layer_norm_eps, initializer_range, hidden_dropout, attention_dropout;
  bool use_parallel_residual, attention_bias, tie_word_embeddings;
  Activation hidden_act;
};

NeoxConfig read_neox_config(ConfigFields& fields) {
  NeoxConfig c{};
  c.hidden_size = fields.integer("hidden_size", 6144);
  c.intermediate_size = fields.integer("intermediate_size", 24576);
  c.num_hidden_layers = fields.layers("num_hidden_layers", 44);
  c.num_attention_heads = fields.integer("num_attention_heads", 64);
  const auto head_dim = fields.divided("hidden_size", c.hidden_size, "num_attention_heads", c.num_attention_heads);
  c.vocab_size = fields.integer("vocab_size", 50432);
  c.max_position_embeddings = fields.integer("max_position_embeddings", 2048);
  c.layer_norm_eps = fields.positive("layer_norm_eps", 1e-5);
  c.initializer_range = fields.number("initializer_range", 0.02);
  c.use_parallel_residual = fields.boolean("use_parallel_residual", true);
  c.attention_bias = fields.boolean("attention_bias", true);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  c.hidden_act = activation_from_name(fields.text("hidden_act", "gelu"), fields.name());
  // In rope_parameters since transformers 5, before that beside the other fields.
  const auto part = read_rotary_part(fields.json(), fields.name(), fields.number("rotary_pct", 0.25));
  c.rotary_dim = static_cast<std::int64_t>(static_cast<double>(head_dim) * part);
  if (c.rotary_dim < 2 || c.rotary_dim % 2 != 0 || c.rotary_dim > head_dim)
    throw InputError("model", "{}: {} of a head's {} channels are turned by their position, expected an even number up to all of them",
                     fields.name(), c.rotary_dim, head_dim);
  c.hidden_dropout = fields.rate("hidden_dropout", 0);
  c.attention_dropout = fields.rate("attention_dropout", 0);
  fields.inert({"rope_theta", "rope_scaling", "rope_parameters", "rotary_emb_base", "partial_rotary_factor", "classifier_dropout"});
  return c;
}

struct NeoxBlock {
  std::int64_t index;
  LayerNorm input_norm, post_attention_norm;
  Linear query_key_value, dense, up, down;
};

class GptNeox final : public Model {
 public:
  GptNeox(ConfigFields& fields, const ModelOptions& options)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)),
        c_(read_neox_config(fields)),
        rope_(read_rope_scaling(fields.json(), fields.name(), {.theta = "rotary_emb_base", .partial = true}), c_.rotary_dim) {
    const auto d = c_.hidden_size;
    shape_ = {c_.vocab_size,
              d,
              c_.num_hidden_layers,
              c_.num_attention_heads,
              c_.num_attention_heads,
              d / c_.num_attention_heads,
              c_.max_position_embeddings};
    embedding_ =
        parameters_.add_matrix("gpt_neox.embed_in.weight", {c_.vocab_size, d}, ParameterClass::embedding, {.std = c_.initializer_range});
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) blocks_.push_back(add_block(i));
    final_norm_ = add_layer_norm(parameters_, "gpt_neox.final_layer_norm", d, c_.layer_norm_eps);
    if (c_.tie_word_embeddings && !fields.classifies_sequences()) head_ = embedding_;
    else if (!fields.is_bare())
      head_ = parameters_.add_matrix("embed_out.weight", {c_.vocab_size, d}, ParameterClass::head, {.std = c_.initializer_range});
  }

  at::Tensor embed(const at::Tensor& ids) const override { return embedding_lookup(embedding_, ids); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    const auto positions = positions_of(embeddings, context);
    auto x = context.dropout(embeddings, c_.hidden_dropout);
    x = context.tap("embed", -1, x);
    for (const auto& block : blocks_) {
      x = forward(block, x, positions, context);
      x = context.tap("resid_post", block.index, x);
    }
    if (context.cache) context.cache->advance(embeddings.size(1));
    x = final_norm_(x);
    return context.tap("final_norm", -1, x);
  }

  std::string prefix() const override { return "gpt_neox."; }
  bool is_buffer(std::string_view name) const override {
    return name.ends_with(".attention.bias") || name.ends_with(".attention.masked_bias") || name.ends_with("rotary_emb.inv_freq");
  }

 private:
  NeoxBlock add_block(std::int64_t index) {
    const auto name = "gpt_neox.layers." + std::to_string(index) + ".";
    const auto d = c_.hidden_size;
    const LinearOptions attention{.bias = c_.attention_bias, .std = c_.initializer_range}, mlp{.bias = true, .std = c_.initializer_range};
    NeoxBlock b{.index = index};
    b.input_norm = add_layer_norm(parameters_, name + "input_layernorm", d, c_.layer_norm_eps);
    b.post_attention_norm = add_layer_norm(parameters_, name + "post_attention_layernorm", d, c_.layer_norm_eps);
    const auto head = shape_.head_dim;  // a head's queries, keys and values follow each other
    b.query_key_value =
        add_linear(parameters_, name + "attention.query_key_value", d, 3 * d,
                   {.bias = c_.attention_bias, .std = c_.initializer_range, .parts = {head, head, head}, .blocks = c_.num_attention_heads});
    b.dense = add_linear(parameters_, name + "attention.dense", d, d, attention);
    b.up = add_linear(parameters_, name + "mlp.dense_h_to_4h", d, c_.intermediate_size, mlp);
    b.down = add_linear(parameters_, name + "mlp.dense_4h_to_h", c_.intermediate_size, d, mlp);
    return b;
  }

  at::Tensor forward(const NeoxBlock& b, const at::Tensor& x, const at::Tensor& positions, const ForwardContext& context) {
    const auto attended =
        context.tap("attn_out", b.index, context.dropout(self_attention(b, b.input_norm(x), positions, context), c_.hidden_dropout));
    if (c_.use_parallel_residual) return mlp(b, b.post_attention_norm(x), context) + attended + x;
    const auto [middle, u] = context.tap.residual("resid_mid", b.index, b.post_attention_norm.after(x, attended), b.post_attention_norm);
    return mlp(b, u, context) + middle;
  }

  at::Tensor mlp(const NeoxBlock& b, const at::Tensor& u, const ForwardContext& context) {
    const auto out = context.dropout(b.down(activate(b.up(u), c_.hidden_act)), c_.hidden_dropout);
    return context.tap("mlp_out", b.index, out);
  }

  at::Tensor self_attention(const NeoxBlock& b, const at::Tensor& u, const at::Tensor& positions, const ForwardContext& context) {
    const auto tokens = u.size(1);
    const auto qkv = b.query_key_value(u).view({u.size(0), tokens, c_.num_attention_heads, 3, -1}).unbind(3);
    const auto past = context.cache ? context.cache->length() : 0;
    const auto& table = rope_.at_least(context.positions.defined() ? c_.max_position_embeddings : past + tokens, u.device());
    const auto turned = [&](const at::Tensor& heads) {
      const auto rest = heads.size(3) - c_.rotary_dim;
      const auto first = rope(heads.narrow(3, 0, c_.rotary_dim), table, positions);
      return rest > 0 ? at::cat({first, heads.narrow(3, c_.rotary_dim, rest)}, 3) : first;
    };
    return b.dense(attend(turned(qkv[0]), turned(qkv[1]), qkv[2], context.attention({}, c_.attention_dropout), context.cache, b.index));
  }

  NeoxConfig c_;
  RopeTables rope_;
  std::vector<NeoxBlock> blocks_;
  LayerNorm final_norm_;
  Slot embedding_;
};

const Family gpt_neox_family{"gpt_neox",
                             {"GPTNeoXForCausalLM", "GPTNeoXForSequenceClassification", "GPTNeoXModel"},
                             [](ConfigFields& fields, const ModelOptions& options) -> std::unique_ptr<Model> {
                               return with_score_head(std::make_unique<GptNeox>(fields, options), fields);
                             }};

}  // namespace
}  // namespace isotrope

// OPT: learned positions that begin at 2, ReLU, tied head; pre-norm blocks, but for the 350M model, which normalises after each half and
// projects its embeddings from a smaller width. Source: Zhang et al. 2022 (arXiv 2205.01068); names as in transformers' OPTForCausalLM.
#include "isotrope/base/error.h"
#include "isotrope/models/registry.h"
#include "isotrope/models/task_head.h"
#include "isotrope/nn/attend.h"
#include "isotrope/nn/layers.h"

namespace isotrope {

namespace {

constexpr std::int64_t position_offset = 2;

struct OptConfig {
  std::int64_t hidden_size, ffn_dim, num_hidden_layers, num_attention_heads, vocab_size, max_position_embeddings, word_embed_proj_dim;
  double init_std, dropout, attention_dropout, layerdrop;
  bool do_layer_norm_before, final_norm, enable_bias, tie_word_embeddings;
  Activation activation_function;
};

OptConfig read_opt_config(ConfigFields& fields) {
  OptConfig c{};
  c.hidden_size = fields.integer("hidden_size", 768);
  c.ffn_dim = fields.integer("ffn_dim", 3072);
  c.num_hidden_layers = fields.layers("num_hidden_layers", 12);
  c.num_attention_heads = fields.integer("num_attention_heads", 12);
  fields.divided("hidden_size", c.hidden_size, "num_attention_heads", c.num_attention_heads);
  c.vocab_size = fields.integer("vocab_size", 50272);
  c.max_position_embeddings = fields.integer("max_position_embeddings", 2048);
  c.word_embed_proj_dim = fields.integer("word_embed_proj_dim", c.hidden_size);
  c.init_std = fields.number("init_std", 0.02);
  c.do_layer_norm_before = fields.boolean("do_layer_norm_before", true);
  c.final_norm = c.do_layer_norm_before && !fields.boolean("_remove_final_layer_norm", false);
  c.enable_bias = fields.boolean("enable_bias", true);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", true);
  c.activation_function = activation_from_name(fields.text("activation_function", "relu"), fields.name());
  fields.only("layer_norm_elementwise_affine", true);
  c.dropout = fields.rate("dropout", 0.1);
  c.attention_dropout = fields.rate("attention_dropout", 0);
  c.layerdrop = fields.number("layerdrop", 0);
  fields.inert({"activation_dropout", "prefix"});  // of no effect in transformers either
  return c;
}

struct OptBlock {
  std::int64_t index;
  LayerNorm attention_norm, mlp_norm;
  Linear q, k, v, out, fc1, fc2;
};

class Opt final : public Model {
 public:
  Opt(ConfigFields& fields, const ModelOptions& options)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)), c_(read_opt_config(fields)) {
    const auto d = c_.hidden_size, outer = c_.word_embed_proj_dim;
    shape_ = {c_.vocab_size,
              d,
              c_.num_hidden_layers,
              c_.num_attention_heads,
              c_.num_attention_heads,
              d / c_.num_attention_heads,
              c_.max_position_embeddings};
    embedding_ = parameters_.add_matrix("model.decoder.embed_tokens.weight", {c_.vocab_size, outer}, ParameterClass::embedding,
                                        {.std = c_.init_std});
    positions_ = parameters_.add_matrix("model.decoder.embed_positions.weight", {c_.max_position_embeddings + position_offset, d},
                                        ParameterClass::embedding, {.std = c_.init_std});
    const LinearOptions plain{.std = c_.init_std};
    if (outer != d) project_in_ = add_linear(parameters_, "model.decoder.project_in", outer, d, plain);
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) blocks_.push_back(add_block(i));
    if (c_.final_norm) final_norm_ = add_layer_norm(parameters_, "model.decoder.final_layer_norm", d, 1e-5);
    if (outer != d) project_out_ = add_linear(parameters_, "model.decoder.project_out", d, outer, plain);
    if (c_.tie_word_embeddings && !fields.classifies_sequences()) head_ = embedding_;
    else if (!fields.is_bare())
      head_ = parameters_.add_matrix("lm_head.weight", {c_.vocab_size, outer}, ParameterClass::head, {.std = c_.init_std});
  }

  at::Tensor embed(const at::Tensor& ids) const override { return embedding_lookup(embedding_, ids); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    if (context.dropout.acts() && c_.layerdrop > 0) throw InputError("model", "layerdrop = {} is not supported in training", c_.layerdrop);
    const auto positions = positions_of(embeddings, context) + position_offset;
    auto x = (project_in_.defined() ? project_in_(embeddings) : embeddings) + embedding_lookup(positions_, positions);
    x = context.tap("embed", -1, x);
    for (const auto& block : blocks_) {
      x = c_.do_layer_norm_before ? pre_norm(block, x, context) : post_norm(block, x, context);
      x = context.tap("resid_post", block.index, x);
    }
    if (context.cache) context.cache->advance(embeddings.size(1));
    if (c_.final_norm) x = final_norm_(x);
    if (project_out_.defined()) x = project_out_(x);
    return context.tap("final_norm", -1, x);
  }

  std::string prefix() const override { return "model."; }
  bool is_buffer(std::string_view) const override { return false; }

 private:
  OptBlock add_block(std::int64_t index) {
    const auto name = "model.decoder.layers." + std::to_string(index) + ".";
    const auto d = c_.hidden_size;
    const LinearOptions options{.bias = c_.enable_bias, .std = c_.init_std};
    OptBlock b{.index = index};
    b.k = add_linear(parameters_, name + "self_attn.k_proj", d, d, options);
    b.v = add_linear(parameters_, name + "self_attn.v_proj", d, d, options);
    b.q = add_linear(parameters_, name + "self_attn.q_proj", d, d, options);
    b.out = add_linear(parameters_, name + "self_attn.out_proj", d, d, options);
    b.attention_norm = add_layer_norm(parameters_, name + "self_attn_layer_norm", d, 1e-5);
    b.fc1 = add_linear(parameters_, name + "fc1", d, c_.ffn_dim, options);
    b.fc2 = add_linear(parameters_, name + "fc2", c_.ffn_dim, d, options);
    b.mlp_norm = add_layer_norm(parameters_, name + "final_layer_norm", d, 1e-5);
    return b;
  }

  at::Tensor pre_norm(const OptBlock& b, const at::Tensor& x, const ForwardContext& context) {
    const auto [middle, u] =
        context.tap.residual("resid_mid", b.index, b.mlp_norm.after(x, self_attention(b, b.attention_norm(x), context)), b.mlp_norm);
    return middle + mlp(b, u, context);
  }

  at::Tensor post_norm(const OptBlock& b, const at::Tensor& x, const ForwardContext& context) {
    const auto middle = context.tap("resid_mid", b.index, b.attention_norm.after(x, self_attention(b, x, context)).normed);
    return b.mlp_norm.after(middle, mlp(b, middle, context)).normed;
  }

  at::Tensor self_attention(const OptBlock& b, const at::Tensor& u, const ForwardContext& context) {
    const auto heads = [&](const Linear& projection) { return projection(u).view({u.size(0), u.size(1), c_.num_attention_heads, -1}); };
    const auto options = context.attention({}, c_.attention_dropout);
    const auto out = context.dropout(b.out(attend(heads(b.q), heads(b.k), heads(b.v), options, context.cache, b.index)), c_.dropout);
    return context.tap("attn_out", b.index, out);
  }

  at::Tensor mlp(const OptBlock& b, const at::Tensor& u, const ForwardContext& context) {
    const auto out = context.dropout(b.fc2(activate(b.fc1(u), c_.activation_function)), c_.dropout);
    return context.tap("mlp_out", b.index, out);
  }

  OptConfig c_;
  std::vector<OptBlock> blocks_;
  LayerNorm final_norm_;
  Linear project_in_, project_out_;
  Slot embedding_, positions_;
};

const Family opt_family{"opt",
                        {"OPTForCausalLM", "OPTForSequenceClassification", "OPTModel"},
                        [](ConfigFields& fields, const ModelOptions& options) -> std::unique_ptr<Model> {
                          return with_score_head(std::make_unique<Opt>(fields, options), fields,
                                                 fields.integer("word_embed_proj_dim", fields.integer("hidden_size", 768)));
                        }};

}  // namespace
}  // namespace isotrope

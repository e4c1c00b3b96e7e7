#include "isotrope/models/bert_like.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "isotrope/base/error.h"
#include "isotrope/nn/attend.h"

namespace isotrope {

BertLikeConfig read_bert_like(ConfigFields& fields, BertLikeConfig c) {
  c.hidden_size = fields.integer("hidden_size", c.hidden_size);
  c.embedding_size = c.hidden_size;
  c.num_hidden_layers = fields.layers("num_hidden_layers", c.num_hidden_layers);
  c.num_attention_heads = fields.integer("num_attention_heads", c.num_attention_heads);
  fields.divided("hidden_size", c.hidden_size, "num_attention_heads", c.num_attention_heads);
  c.intermediate_size = fields.integer("intermediate_size", c.intermediate_size);
  c.vocab_size = fields.integer("vocab_size", c.vocab_size);
  c.position_rows = fields.integer("max_position_embeddings", 512);
  c.type_vocab_size = fields.integer("type_vocab_size", 2);
  c.layer_norm_eps = fields.positive("layer_norm_eps", 1e-12);
  c.initializer_range = fields.number("initializer_range", 0.02);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", true);
  c.embedding_dropout = c.attention_output_dropout = c.mlp_output_dropout = fields.rate("hidden_dropout_prob", 0.1);
  c.attention_dropout = fields.rate("attention_probs_dropout_prob", 0.1);
  fields.only("position_embedding_type", "absolute");
  fields.only("is_decoder", false);
  fields.only("add_cross_attention", false);
  return c;
}

BertLikeNames bert_names_under(const std::string& prefix) {
  return {.prefix = prefix,
          .words = "embeddings.word_embeddings.weight",
          .positions = "embeddings.position_embeddings.weight",
          .types = "embeddings.token_type_embeddings.weight",
          .norm = "embeddings.LayerNorm",
          .embedding_projection = "",
          .block =
              [prefix](std::int64_t layer) {
                const auto name = prefix + "encoder.layer." + std::to_string(layer) + ".";
                return BertLikeNames::Block{name + "attention.self.query",
                                            name + "attention.self.key",
                                            name + "attention.self.value",
                                            name + "attention.output.dense",
                                            name + "attention.output.LayerNorm",
                                            name + "intermediate.dense",
                                            name + "output.dense",
                                            name + "output.LayerNorm"};
              },
          .pooler = "pooler.dense"};
}

namespace {

struct BertBlock {
  Linear query, key, value, attention_output, mlp_in, mlp_out;
  LayerNorm attention_norm, mlp_norm;
};

class BertLike final : public Model {
 public:
  BertLike(ConfigFields& fields, const ModelOptions& options, BertLikeConfig config, BertLikeNames names)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)), c_(std::move(config)), names_(std::move(names)) {
    if (c_.first_position >= c_.position_rows)
      throw InputError("model", "{}: max_position_embeddings = {}, of which the first {} stand for padding", fields.name(),
                       c_.position_rows, c_.first_position);
    const auto d = c_.hidden_size, e = c_.embedding_size;
    shape_ = {.vocab_size = c_.vocab_size,
              .width = d,
              .layers = c_.num_hidden_layers,
              .heads = c_.num_attention_heads,
              .kv_heads = c_.num_attention_heads,
              .head_dim = d / c_.num_attention_heads,
              .max_positions = c_.position_rows - c_.first_position,
              .causal = false};
    words_ = add_table(names_.prefix + names_.words, c_.vocab_size);
    positions_ = add_table(names_.prefix + names_.positions, c_.position_rows);
    if (c_.sinusoidal_positions) parameters_.all().back().init.kind = Initialization::Kind::sinusoids;
    if (c_.type_vocab_size > 0) types_ = add_table(names_.prefix + names_.types, c_.type_vocab_size);
    embedding_norm_ = add_layer_norm(parameters_, names_.prefix + names_.norm, e, c_.layer_norm_eps);
    if (!names_.embedding_projection.empty()) embedding_projection_ = add(names_.prefix + names_.embedding_projection, e, d);
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) blocks_.push_back(block_of(names_.block(i)));
    shape_.repeated_weights = (c_.num_hidden_layers - static_cast<std::int64_t>(made_.size())) * (4 * d * d + 2 * d * c_.intermediate_size);
    if (c_.pooler) pooler_ = add(names_.prefix + names_.pooler, d, d);
    if (c_.language_head) add_language_head();
    if (c_.pair_head) pair_head_ = add(names_.pair_head, d, 2);
  }

  at::Tensor embed(const at::Tensor& ids) const override { return embedding_lookup(words_, ids); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    auto x = embeddings + embedding_lookup(positions_, positions_of(embeddings, context) + c_.first_position);
    if (types_.defined()) x = x + type_embeddings(context.token_types);
    x = context.dropout(embedding_norm_(x), c_.embedding_dropout);
    if (embedding_projection_.defined()) x = embedding_projection_(x);
    x = context.tap("embed", -1, x);
    for (std::size_t i = 0; i < blocks_.size(); ++i) x = forward(*blocks_[i], static_cast<std::int64_t>(i), x, context);
    return x;
  }

  at::Tensor head_input(const at::Tensor& hidden) const override {
    return head_norm_.gain.defined() ? head_norm_(activate(head_dense_(hidden), c_.activation)) : hidden;
  }

  at::Tensor pair_logits(const at::Tensor& first, const Dropout& dropout) const override {
    return c_.pair_head ? pair_head_(dropout(at::tanh(pooler_(first)), c_.pair_dropout)) : Model::pair_logits(first, dropout);
  }
  bool has_pair_head() const override { return c_.pair_head; }

  std::string prefix() const override { return names_.prefix; }

  bool is_buffer(std::string_view name) const override {
    // With a projection of its own the head adds that one's bias: the other one stays behind without use.
    if (c_.language_head && !c_.tie_word_embeddings && name == names_.head_bias && name != bias_name()) return true;
    return std::ranges::any_of(names_.buffers, [&](const auto& buffer) { return name.ends_with(buffer); });
  }

  std::string older_name(const std::string& parameter) const override {
    if (const auto at = parameter.rfind("LayerNorm.weight"); at != std::string::npos) return parameter.substr(0, at) + "LayerNorm.gamma";
    if (const auto at = parameter.rfind("LayerNorm.bias"); at != std::string::npos) return parameter.substr(0, at) + "LayerNorm.beta";
    return {};
  }

  std::string copy_of(std::string_view name) const override {
    if (!head_.defined()) return {};
    if (name == names_.decoder + ".weight" && c_.tie_word_embeddings) return names_.prefix + names_.words;
    return name == names_.decoder + ".bias" && c_.tie_word_embeddings ? names_.head_bias : std::string();
  }

  bool is_left_out(std::string_view name) const override {
    const auto part_of = [&](const std::string& module) { return !module.empty() && name.starts_with(module + "."); };
    if (!c_.pooler && (part_of(names_.prefix + names_.pooler) || part_of(names_.pooler))) return true;
    if (!c_.pair_head && part_of(names_.pair_head)) return true;
    return !c_.language_head &&
           (part_of(names_.head_dense) || part_of(names_.head_norm) || part_of(names_.decoder) || name == names_.head_bias);
  }

 private:
  Linear add(const std::string& name, std::int64_t in, std::int64_t out) {
    return add_linear(parameters_, name, in, out, {.bias = true, .std = c_.initializer_range});
  }

  Slot add_table(const std::string& name, std::int64_t rows) {
    return parameters_.add_matrix(name, {rows, c_.embedding_size}, ParameterClass::embedding, {.std = c_.initializer_range});
  }

  /// The block of these names, made when they come for the first time.
  std::shared_ptr<const BertBlock> block_of(const BertLikeNames::Block& names) {
    auto& made = made_[names.query];
    if (made) return made;
    const auto d = c_.hidden_size, ff = c_.intermediate_size;
    auto b = std::make_shared<BertBlock>();
    b->query = add(names.query, d, d), b->key = add(names.key, d, d), b->value = add(names.value, d, d);
    b->attention_output = add(names.attention_output, d, d);
    b->attention_norm = add_layer_norm(parameters_, names.attention_norm, d, c_.layer_norm_eps);
    b->mlp_in = add(names.mlp_in, d, ff), b->mlp_out = add(names.mlp_out, ff, d);
    b->mlp_norm = add_layer_norm(parameters_, names.mlp_norm, d, c_.layer_norm_eps);
    return made = std::move(b);
  }

  void add_language_head() {
    const auto e = c_.embedding_size;
    head_dense_ = add(names_.head_dense, c_.hidden_size, e);
    head_norm_ = add_layer_norm(parameters_, names_.head_norm, e, c_.layer_norm_eps);
    head_.slot = c_.tie_word_embeddings ? words_
                                        : parameters_.add_matrix(names_.decoder + ".weight", {c_.vocab_size, e}, ParameterClass::head,
                                                                 {.std = c_.initializer_range});
    head_.bias = parameters_.add(bias_name(), {c_.vocab_size}, ParameterClass::vector, {Initialization::Kind::zeros});
  }

  std::string bias_name() const { return c_.tie_word_embeddings ? names_.head_bias : names_.decoder + ".bias"; }

  at::Tensor type_embeddings(const at::Tensor& types) const {
    if (!types.defined()) return effective_weight(*types_).narrow(0, 0, 1).unsqueeze(0);
    if (const auto last = types.max().item<std::int64_t>(); last >= c_.type_vocab_size)
      throw InputError("model", "a token of segment {}, but the model tells {} segments apart (type_vocab_size)", last, c_.type_vocab_size);
    return embedding_lookup(types_, types);
  }

  at::Tensor forward(const BertBlock& b, std::int64_t layer, const at::Tensor& x, const ForwardContext& context) const {
    const auto attended = context.tap(
        "attn_out", layer, context.dropout(b.attention_output(self_attention(b, layer, x, context)), c_.attention_output_dropout));
    const auto middle = context.tap("resid_mid", layer, b.attention_norm.after(x, attended).normed);
    const auto transformed =
        context.tap("mlp_out", layer, context.dropout(b.mlp_out(activate(b.mlp_in(middle), c_.activation)), c_.mlp_output_dropout));
    return context.tap("resid_post", layer, b.mlp_norm.after(middle, transformed).normed);
  }

  at::Tensor self_attention(const BertBlock& b, std::int64_t layer, const at::Tensor& x, const ForwardContext& context) const {
    const auto heads = [&](const Linear& projection) { return projection(x).view({x.size(0), x.size(1), c_.num_attention_heads, -1}); };
    const auto options = context.attention({.causal = false}, c_.attention_dropout);
    return attend(heads(b.query), heads(b.key), heads(b.value), options, nullptr, layer);
  }

  BertLikeConfig c_;
  BertLikeNames names_;
  Slot words_, positions_, types_;
  LayerNorm embedding_norm_, head_norm_;
  Linear embedding_projection_, pooler_, head_dense_, pair_head_;
  std::map<std::string, std::shared_ptr<const BertBlock>> made_;  // by the name of the query's projection
  std::vector<std::shared_ptr<const BertBlock>> blocks_;
};

}  // namespace

std::unique_ptr<Model> make_bert_like(ConfigFields& fields, const ModelOptions& options, BertLikeConfig config, BertLikeNames names) {
  return std::make_unique<BertLike>(fields, options, std::move(config), std::move(names));
}

}  // namespace isotrope

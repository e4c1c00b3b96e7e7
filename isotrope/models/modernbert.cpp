// ModernBERT: a pre-norm encoder with rotary positions, GeGLU, norms and projections without biases; every third layer sees the whole text,
// the others a window. Source: Warner et al. 2024 (arXiv 2412.13663); names as in transformers' ModernBertForMaskedLM.
#include <ATen/ATen.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/models/registry.h"
#include "isotrope/models/rope_scaling.h"
#include "isotrope/models/task_head.h"
#include "isotrope/nn/attend.h"
#include "isotrope/nn/layers.h"

namespace isotrope {
namespace {

struct ModernBertConfig {
  std::int64_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, vocab_size, max_position_embeddings, local_attention;
  double norm_eps, initializer_range, initializer_cutoff_factor, embedding_dropout, attention_dropout, mlp_dropout;
  bool norm_bias, attention_bias, mlp_bias, decoder_bias, classifier_bias, tie_word_embeddings, language_head;
  Activation hidden_activation, classifier_activation;
  std::vector<bool> local;  ///< of each layer: sees a window only
};

ModernBertConfig read_modernbert_config(ConfigFields& fields) {
  ModernBertConfig c{};
  c.hidden_size = fields.integer("hidden_size", 768);
  c.intermediate_size = fields.integer("intermediate_size", 1152);
  c.num_hidden_layers = fields.layers("num_hidden_layers", 22);
  c.num_attention_heads = fields.integer("num_attention_heads", 12);
  const auto head_dim = fields.divided("hidden_size", c.hidden_size, "num_attention_heads", c.num_attention_heads);
  if (head_dim % 2 != 0) throw InputError("model", "{}: head_dim {} is not even, as rotary positions need", fields.name(), head_dim);
  c.vocab_size = fields.integer("vocab_size", 50368);
  c.max_position_embeddings = fields.integer("max_position_embeddings", 8192);
  c.local_attention = fields.integer("local_attention", 128, 0);
  const auto every = fields.integer("global_attn_every_n_layers", 3);
  c.local = fields.sliding_layers(c.num_hidden_layers, [&](std::int64_t layer) { return layer % every != 0; });
  c.norm_eps = fields.positive("norm_eps", 1e-5);
  c.initializer_range = fields.number("initializer_range", 0.02);
  c.initializer_cutoff_factor = fields.positive("initializer_cutoff_factor", 2.0);
  c.norm_bias = fields.boolean("norm_bias", false);
  c.attention_bias = fields.boolean("attention_bias", false);
  c.mlp_bias = fields.boolean("mlp_bias", false);
  c.decoder_bias = fields.boolean("decoder_bias", true);
  c.classifier_bias = fields.boolean("classifier_bias", false);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", true);
  c.hidden_activation = activation_from_name(fields.text("hidden_activation", "gelu"), fields.name());
  c.classifier_activation = activation_from_name(fields.text("classifier_activation", "gelu"), fields.name());
  c.embedding_dropout = fields.rate("embedding_dropout", 0);
  c.attention_dropout = fields.rate("attention_dropout", 0);
  c.mlp_dropout = fields.rate("mlp_dropout", 0);
  c.language_head = fields.architecture("ModernBertModel") == "ModernBertForMaskedLM";
  fields.only("position_embedding_type", "absolute");
  // How transformers computes, classifies and truncates its first weights.
  fields.inert({"rope_parameters", "rope_scaling", "global_rope_theta", "local_rope_theta", "classifier_dropout", "classifier_pooling",
                "cls_token_id", "deterministic_flash_attn", "sparse_prediction", "sparse_pred_ignore_index", "reference_compile",
                "repad_logits_with_grad", "layer_norm_eps", "gradient_checkpointing"});
  return c;
}

/// Of the global or the local layers: their own entry of rope_parameters, or the older theta of their own.
RopeScaling read_modernbert_rope(const ConfigFields& fields, const char* layer_type, const char* older_theta, double theta) {
  const auto& config = fields.json();
  nlohmann::json own{{"rope_theta", config.contains(older_theta) ? config[older_theta] : nlohmann::json(theta)}};
  if (config.contains("rope_scaling") && !config["rope_scaling"].is_null()) {
    if (config.contains("rope_parameters") && !config["rope_parameters"].is_null())
      throw InputError("model", "{}: rope_scaling beside rope_parameters is not supported", fields.name());
    own["rope_scaling"] = config["rope_scaling"];
  }
  if (const auto all = config.find("rope_parameters"); all != config.end() && all->is_object() && all->contains("rope_theta"))
    throw InputError("model", "{}: rope_parameters has its own entry for each layer type (full_attention, sliding_attention)",
                     fields.name());
  else if (all != config.end() && all->is_object() && all->contains(layer_type)) {
    own["rope_parameters"] = (*all)[layer_type];
    if (own["rope_parameters"].is_object() && !own["rope_parameters"].contains("rope_theta"))
      own["rope_parameters"]["rope_theta"] = own["rope_theta"];
  }
  return read_rope_scaling(own, fields.name());
}

struct ModernBertBlock {
  std::int64_t index;
  LayerNorm attention_norm, mlp_norm;  // the first layer has no attention norm: the embedding's stands there
  Linear qkv, attention_output, mlp_in, mlp_out;
};

class ModernBert final : public Model {
 public:
  ModernBert(ConfigFields& fields, const ModelOptions& options)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)),
        c_(read_modernbert_config(fields)),
        global_rope_(read_modernbert_rope(fields, "full_attention", "global_rope_theta", 160000), c_.hidden_size / c_.num_attention_heads),
        local_rope_(read_modernbert_rope(fields, "sliding_attention", "local_rope_theta", 10000), c_.hidden_size / c_.num_attention_heads) {
    shape_ = {.vocab_size = c_.vocab_size,
              .width = c_.hidden_size,
              .layers = c_.num_hidden_layers,
              .heads = c_.num_attention_heads,
              .kv_heads = c_.num_attention_heads,
              .head_dim = c_.hidden_size / c_.num_attention_heads,
              .max_positions = c_.max_position_embeddings,
              .causal = false};
    embedding_ = parameters_.add_matrix("model.embeddings.tok_embeddings.weight", {c_.vocab_size, c_.hidden_size},
                                        ParameterClass::embedding, {.std = c_.initializer_range});
    embedding_norm_ = add_norm("model.embeddings.norm");
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) blocks_.push_back(add_block(i));
    final_norm_ = add_norm("model.final_norm");
    if (c_.language_head) add_language_head();
    for (auto& parameter : parameters_.all()) parameter.init.cutoff = c_.initializer_cutoff_factor;
  }

  at::Tensor embed(const at::Tensor& ids) const override { return embedding_lookup(embedding_, ids); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    const auto positions = positions_of(embeddings, context);
    Stream stream{context.dropout(embedding_norm_(embeddings), c_.embedding_dropout), {}};
    stream.x = context.tap("embed", -1, stream.x);
    for (const auto& block : blocks_) forward(block, stream, positions, context);
    auto last = final_norm_.after(stream.x, stream.delta);
    if (c_.num_hidden_layers > 0) last = context.tap.residual("resid_post", c_.num_hidden_layers - 1, last, final_norm_);
    return context.tap("final_norm", -1, last.normed);
  }

  at::Tensor head_input(const at::Tensor& hidden) const override {
    return c_.language_head ? head_norm_(activate(head_dense_(hidden), c_.classifier_activation)) : hidden;
  }

  std::string prefix() const override { return "model."; }
  bool is_buffer(std::string_view name) const override { return name.ends_with("inv_freq"); }
  std::string copy_of(std::string_view name) const override {
    return name == "decoder.weight" && c_.language_head && c_.tie_word_embeddings ? "model.embeddings.tok_embeddings.weight" : "";
  }
  bool is_left_out(std::string_view name) const override {
    return !c_.language_head && (name.starts_with("head.") || name.starts_with("decoder."));
  }

 private:
  LayerNorm add_norm(const std::string& name) { return add_layer_norm(parameters_, name, c_.hidden_size, c_.norm_eps, c_.norm_bias); }

  /// What writes to the residual stream begins smaller, by √(2 · layers).
  double output_std() const {
    return c_.initializer_range / std::sqrt(2.0 * static_cast<double>(std::max<std::int64_t>(1, c_.num_hidden_layers)));
  }

  ModernBertBlock add_block(std::int64_t index) {
    const auto name = "model.layers." + std::to_string(index) + ".";
    const auto d = c_.hidden_size, ff = c_.intermediate_size;
    ModernBertBlock b{.index = index};
    if (index > 0) b.attention_norm = add_norm(name + "attn_norm");
    b.qkv =
        add_linear(parameters_, name + "attn.Wqkv", d, 3 * d, {.bias = c_.attention_bias, .std = c_.initializer_range, .parts = {d, d, d}});
    b.attention_output = add_linear(parameters_, name + "attn.Wo", d, d, {.bias = c_.attention_bias, .std = output_std()});
    b.mlp_norm = add_norm(name + "mlp_norm");
    b.mlp_in = add_linear(parameters_, name + "mlp.Wi", d, 2 * ff, {.bias = c_.mlp_bias, .std = c_.initializer_range, .parts = {ff, ff}});
    b.mlp_out = add_linear(parameters_, name + "mlp.Wo", ff, d, {.bias = c_.mlp_bias, .std = output_std()});
    return b;
  }

  void add_language_head() {
    head_dense_ = add_linear(parameters_, "head.dense", c_.hidden_size, c_.hidden_size, {.bias = c_.classifier_bias, .std = output_std()});
    head_norm_ = add_norm("head.norm");
    head_.slot = c_.tie_word_embeddings ? embedding_
                                        : parameters_.add_matrix("decoder.weight", {c_.vocab_size, c_.hidden_size}, ParameterClass::head,
                                                                 {.std = output_std()});
    if (c_.decoder_bias)
      head_.bias = parameters_.add("decoder.bias", {c_.vocab_size}, ParameterClass::vector, {Initialization::Kind::zeros});
  }

  /// The residual stream between blocks: what the last block adds is added by the norm that reads the sum.
  struct Stream {
    at::Tensor x, delta;
  };

  void forward(const ModernBertBlock& b, Stream& stream, const at::Tensor& positions, const ForwardContext& context) {
    auto before = b.index > 0 ? b.attention_norm.after(stream.x, stream.delta) : Residual{stream.x, stream.x};
    if (b.index > 0) before = context.tap.residual("resid_post", b.index - 1, before, b.attention_norm);
    const auto& [x, u] = before;
    const auto attended = context.tap("attn_out", b.index,
                                      context.dropout(b.attention_output(self_attention(b, u, positions, context)), c_.attention_dropout));
    const auto [middle, v] = context.tap.residual("resid_mid", b.index, b.mlp_norm.after(x, attended), b.mlp_norm);
    const auto halves = b.mlp_in(v).chunk(2, -1);
    const auto transformed =
        context.tap("mlp_out", b.index, b.mlp_out(context.dropout(activate(halves[0], c_.hidden_activation) * halves[1], c_.mlp_dropout)));
    stream = {middle, transformed};
  }

  at::Tensor self_attention(const ModernBertBlock& b, const at::Tensor& u, const at::Tensor& positions, const ForwardContext& context) {
    const auto tokens = u.size(1);
    const auto qkv = b.qkv(u).view({u.size(0), tokens, 3, c_.num_attention_heads, -1}).unbind(2);
    const bool local = c_.local[static_cast<std::size_t>(b.index)];
    const auto& table =
        (local ? local_rope_ : global_rope_).at_least(context.positions.defined() ? c_.max_position_embeddings : tokens, u.device());
    auto options = context.attention({.causal = false}, c_.attention_dropout);
    if (local) options.window = c_.local_attention / 2;
    return attend(rope(qkv[0], table, positions), rope(qkv[1], table, positions), qkv[2], options, nullptr, b.index);
  }

  ModernBertConfig c_;
  RopeTables global_rope_, local_rope_;
  std::vector<ModernBertBlock> blocks_;
  LayerNorm embedding_norm_, final_norm_, head_norm_;
  Linear head_dense_;
  Slot embedding_;
};

TaskHead::Pooling pooling_of(ConfigFields& fields) {
  const auto name = fields.text("classifier_pooling", "cls");
  if (name != "cls" && name != "mean")
    throw InputError("model", "{}: classifier_pooling = {} is not supported (cls, mean)", fields.name(), name);
  return name == "mean" ? TaskHead::Pooling::mean : TaskHead::Pooling::first;
}

std::unique_ptr<Model> make_modernbert(ConfigFields& fields, const ModelOptions& options) {
  std::unique_ptr<Model> model = std::make_unique<ModernBert>(fields, options);
  if (!fields.classifies_sequences()) return model;
  const auto activation = activation_from_name(fields.text("classifier_activation", "gelu"), fields.name());
  const auto layers = static_cast<double>(std::max<std::int64_t>(1, model->shape().layers));
  add_task_head(*model, fields,
                {.pooling = pooling_of(fields),
                 .dense = "head.dense",
                 .norm = "head.norm",
                 .classifier = "classifier",
                 .dense_bias = fields.boolean("classifier_bias", false),
                 .norm_bias = fields.boolean("norm_bias", false),
                 .norm_eps = fields.positive("norm_eps", 1e-5),
                 .std = fields.number("initializer_range", 0.02) / std::sqrt(2.0 * layers),
                 .activation = [activation](const at::Tensor& x) { return activate(x, activation); },
                 .classifier_dropout = fields.rate("classifier_dropout", 0)});
  return model;
}

const Family modernbert_family{
    "modernbert", {"ModernBertForMaskedLM", "ModernBertForSequenceClassification", "ModernBertModel"}, make_modernbert};

}  // namespace
}  // namespace isotrope

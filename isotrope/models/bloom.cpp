// BLOOM: no positions but ALiBi's biases by distance, a norm behind the embedding, one fused projection whose rows run head by head, tied
// head. Source: Le Scao et al. 2022 (arXiv 2211.05100); names as in transformers' BloomForCausalLM.
#include "isotrope/models/registry.h"
#include "isotrope/models/task_head.h"
#include "isotrope/nn/attend.h"
#include "isotrope/nn/layers.h"

namespace isotrope {

namespace {

struct BloomConfig {
  std::int64_t hidden_size, n_layer, n_head, vocab_size;
  double layer_norm_epsilon, initializer_range, hidden_dropout, attention_dropout;
  bool residual_after_norm, tie_word_embeddings;
};

BloomConfig read_bloom_config(ConfigFields& fields) {
  BloomConfig c{};
  c.hidden_size = fields.integer(fields.either("hidden_size", "n_embed"), 64);
  c.n_layer = fields.layers(fields.either("n_layer", "num_hidden_layers"), 2);
  c.n_head = fields.integer(fields.either("n_head", "num_attention_heads"), 8);
  fields.divided("hidden_size", c.hidden_size, "n_head", c.n_head);
  c.vocab_size = fields.integer("vocab_size", 250880);
  c.layer_norm_epsilon = fields.positive("layer_norm_epsilon", 1e-5);
  c.initializer_range = fields.number("initializer_range", 0.02);
  c.residual_after_norm = fields.boolean("apply_residual_connection_post_layernorm", false);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", true);
  c.hidden_dropout = fields.rate("hidden_dropout", 0);
  c.attention_dropout = fields.rate("attention_dropout", 0);
  // Order of operations on many devices decides nothing here.
  fields.inert({"pretraining_tp", "slow_but_exact", "attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion",
                "offset_alibi", "seq_length", "skip_bias_add", "skip_bias_add_qkv", "unk_token_id"});
  return c;
}

struct BloomBlock {
  std::int64_t index;
  LayerNorm input_norm, post_attention_norm;
  Linear query_key_value, dense, up, down;
};

class Bloom final : public Model {
 public:
  Bloom(ConfigFields& fields, const ModelOptions& options)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)), c_(read_bloom_config(fields)) {
    const auto d = c_.hidden_size;
    // Biases by distance have no end; a bound keeps caches finite.
    shape_ = {c_.vocab_size, d, c_.n_layer, c_.n_head, c_.n_head, d / c_.n_head, std::int64_t{1} << 20};
    embedding_ = parameters_.add_matrix("transformer.word_embeddings.weight", {c_.vocab_size, d}, ParameterClass::embedding,
                                        {.std = c_.initializer_range});
    embedding_norm_ = add_layer_norm(parameters_, "transformer.word_embeddings_layernorm", d, c_.layer_norm_epsilon);
    for (std::int64_t i = 0; i < c_.n_layer; ++i) blocks_.push_back(add_block(i));
    final_norm_ = add_layer_norm(parameters_, "transformer.ln_f", d, c_.layer_norm_epsilon);
    if (c_.tie_word_embeddings && !fields.classifies_sequences()) head_ = embedding_;
    else if (!fields.is_bare())
      head_ = parameters_.add_matrix("lm_head.weight", {c_.vocab_size, d}, ParameterClass::head, {.std = c_.initializer_range});
    slopes_ = alibi_slopes(c_.n_head, options.device);
  }

  at::Tensor embed(const at::Tensor& ids) const override { return embedding_lookup(embedding_, ids); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    auto x = embedding_norm_(embeddings);
    x = context.tap("embed", -1, x);
    for (const auto& block : blocks_) {
      x = forward(block, x, context);
      x = context.tap("resid_post", block.index, x);
    }
    if (context.cache) context.cache->advance(embeddings.size(1));
    x = final_norm_(x);
    return context.tap("final_norm", -1, x);
  }

  std::string prefix() const override { return "transformer."; }
  bool is_buffer(std::string_view) const override { return false; }

 private:
  BloomBlock add_block(std::int64_t index) {
    const auto name = "transformer.h." + std::to_string(index) + ".";
    const auto d = c_.hidden_size;
    const LinearOptions options{.bias = true, .std = c_.initializer_range};
    BloomBlock b{.index = index};
    b.input_norm = add_layer_norm(parameters_, name + "input_layernorm", d, c_.layer_norm_epsilon);
    const auto head = d / c_.n_head;  // a head's queries, keys and values follow each other
    b.query_key_value = add_linear(parameters_, name + "self_attention.query_key_value", d, 3 * d,
                                   {.bias = true, .std = c_.initializer_range, .parts = {head, head, head}, .blocks = c_.n_head});
    b.dense = add_linear(parameters_, name + "self_attention.dense", d, d, options);
    b.post_attention_norm = add_layer_norm(parameters_, name + "post_attention_layernorm", d, c_.layer_norm_epsilon);
    b.up = add_linear(parameters_, name + "mlp.dense_h_to_4h", d, 4 * d, options);
    b.down = add_linear(parameters_, name + "mlp.dense_4h_to_h", 4 * d, d, options);
    return b;
  }

  at::Tensor forward(const BloomBlock& b, const at::Tensor& x, const ForwardContext& context) {
    const auto u = b.input_norm(x);
    const auto attended = context.tap("attn_out", b.index, context.dropout(self_attention(b, u, context), c_.hidden_dropout));
    const auto [middle, v] = context.tap.residual(
        "resid_mid", b.index, b.post_attention_norm.after(c_.residual_after_norm ? u : x, attended), b.post_attention_norm);
    const auto transformed =
        context.tap("mlp_out", b.index, context.dropout(b.down(activate(b.up(v), Activation::gelu_tanh)), c_.hidden_dropout));
    return (c_.residual_after_norm ? v : middle) + transformed;
  }

  at::Tensor self_attention(const BloomBlock& b, const at::Tensor& u, const ForwardContext& context) {
    const auto qkv = b.query_key_value(u).view({u.size(0), u.size(1), c_.n_head, 3, -1}).unbind(3);
    return b.dense(attend(qkv[0], qkv[1], qkv[2], context.attention({.slopes = slopes_}, c_.attention_dropout), context.cache, b.index));
  }

  BloomConfig c_;
  std::vector<BloomBlock> blocks_;
  LayerNorm embedding_norm_, final_norm_;
  Slot embedding_;
  at::Tensor slopes_;
};

const Family bloom_family{"bloom",
                          {"BloomForCausalLM", "BloomForSequenceClassification", "BloomModel"},
                          [](ConfigFields& fields, const ModelOptions& options) -> std::unique_ptr<Model> {
                            return with_score_head(std::make_unique<Bloom>(fields, options), fields);
                          }};

}  // namespace
}  // namespace isotrope

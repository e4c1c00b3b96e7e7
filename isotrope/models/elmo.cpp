// ELMo's language model: one stack of LSTMs reads from the first token on, another from the last, over the same token embeddings and under the same
// softmax; layer 2 adds to layer 1. Its hidden states are both directions side by side. Source: Peters et al. 2018 (arXiv 1802.05365), here with a
// token embedding in the place of the character CNN. Own folder format (docs/formats/elmo.md).
#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/gradient_sink.h"
#include "isotrope/models/registry.h"
#include "isotrope/nn/lstm.h"

namespace isotrope {
namespace {

struct ElmoConfig {
  std::int64_t vocab_size, projection_size, cell_size, num_hidden_layers;
  double initializer_range, dropout;
  bool tie_word_embeddings;
};

ElmoConfig read_config(ConfigFields& fields) {
  ElmoConfig c{};
  c.vocab_size = fields.integer("vocab_size");
  c.projection_size = fields.integer("projection_size", 512);
  c.cell_size = fields.integer("cell_size", 8 * c.projection_size);
  c.num_hidden_layers = fields.integer("num_hidden_layers", 2);
  c.initializer_range = fields.number("initializer_range", 0.1);
  c.dropout = fields.rate("dropout", 0.1);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  fields.only("token_encoder", "embedding");
  return c;
}

class Elmo final : public Model {
 public:
  Elmo(ConfigFields& fields, const ModelOptions& options)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)), c_(read_config(fields)) {
    const auto p = c_.projection_size;
    shape_ = {
        .vocab_size = c_.vocab_size, .width = 2 * p, .layers = c_.num_hidden_layers, .max_positions = unlimited_positions, .causal = false};
    embedding_ = parameters_.add("token_embedding.weight", {c_.vocab_size, p}, ParameterClass::embedding, {.std = c_.initializer_range});
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      forward_.push_back(add_lstm(parameters_, "forward." + std::to_string(i), p, c_.cell_size, p));
      backward_.push_back(add_lstm(parameters_, "backward." + std::to_string(i), p, c_.cell_size, p));
    }
    head_.weight = c_.tie_word_embeddings
                       ? embedding_
                       : parameters_.add("softmax.weight", {c_.vocab_size, p}, ParameterClass::head, {.std = c_.initializer_range});
    head_.bias = parameters_.add("softmax.bias", {c_.vocab_size}, ParameterClass::vector, {Initialization::Kind::zeros});
  }

  at::Tensor embed(const at::Tensor& ids) const override { return embedding_lookup(embedding_, ids); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    positions_of(embeddings, context);  // refuses a cache
    auto before = context.dropout(embeddings, c_.dropout), after = before;
    context.tap("embed", -1, at::cat({before, after}, 2));
    for (std::size_t i = 0; i < forward_.size(); ++i) {
      const auto step = [&](const Lstm& lstm, const at::Tensor& x, bool backwards) {
        const auto y = context.dropout(lstm(x, context.documents, backwards), c_.dropout);
        return i > 0 ? x + y : y;
      };
      before = step(forward_[i], before, false), after = step(backward_[i], after, true);
      context.tap("resid_post", static_cast<std::int64_t>(i), at::cat({before, after}, 2));
    }
    return at::cat({before, after}, 2);
  }

  at::Tensor head_input(const at::Tensor& hidden) const override { return hidden.narrow(-1, 0, c_.projection_size); }
  at::Tensor backward_head_input(const at::Tensor& hidden) const override {
    return hidden.narrow(-1, c_.projection_size, c_.projection_size);
  }
  bool reads_backwards() const override { return true; }

  std::string prefix() const override { return "elmo."; }
  bool is_buffer(std::string_view) const override { return false; }

 private:
  ElmoConfig c_;
  at::Tensor embedding_;
  std::vector<Lstm> forward_, backward_;
};

const Family registered{"elmo", {"ElmoForBiLM"}, [](ConfigFields& fields, const ModelOptions& options) -> std::unique_ptr<Model> {
                          return std::make_unique<Elmo>(fields, options);
                        }};

}  // namespace
}  // namespace isotrope

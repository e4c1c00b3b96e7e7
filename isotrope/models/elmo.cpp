// ELMo's language model: one stack of LSTMs reads from the first token on, another from the last, over the same token embeddings and under
// the same softmax; layer 2 adds to layer 1. Its hidden states are both directions side by side. A token's embedding is a row of a table,
// or made from the token's characters. Source: Peters et al. 2018 (arXiv 1802.05365). Own folder format (docs/formats/elmo.md).
#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/models/registry.h"
#include "isotrope/nn/character_cnn.h"
#include "isotrope/nn/lstm.h"

namespace isotrope {
namespace {

struct ElmoConfig {
  std::int64_t vocab_size, projection_size, cell_size, num_hidden_layers;
  double initializer_range, dropout;
  bool tie_word_embeddings, from_characters;
  std::int64_t max_characters, character_embedding_size, num_highway_layers;  ///< from characters alone, as the filters: width, number
  std::vector<std::pair<std::int64_t, std::int64_t>> filters;
};

void read_character_fields(ConfigFields& fields, ElmoConfig& c) {
  c.max_characters = fields.integer("max_characters", 50, 3, 10'000);
  c.character_embedding_size = fields.integer("character_embedding_size", 16);
  c.num_highway_layers = fields.integer("num_highway_layers", 2, 0, 1000);
  c.filters = fields.pairs("filters", {{1, 32}, {2, 32}, {3, 64}, {4, 128}, {5, 256}, {6, 512}, {7, 1024}});
  for (const auto& [width, count] : c.filters)
    if (width > c.max_characters)
      throw InputError("model", "{}: a filter {} characters wide needs max_characters ≥ {}, got {}", fields.name(), width, width,
                       c.max_characters);
  if (c.tie_word_embeddings)
    throw InputError("model", "{}: tie_word_embeddings needs token_encoder \"embedding\": characters have no row for each token",
                     fields.name());
}

ElmoConfig read_elmo_config(ConfigFields& fields) {
  ElmoConfig c{};
  c.vocab_size = fields.integer("vocab_size");
  c.projection_size = fields.integer("projection_size", 512);
  c.cell_size = fields.integer("cell_size", 8 * c.projection_size);
  c.num_hidden_layers = fields.integer("num_hidden_layers", 2, 1, 1000);
  c.initializer_range = fields.number("initializer_range", 0.1);
  c.dropout = fields.rate("dropout", 0.1);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  const auto encoder = fields.text("token_encoder", "embedding");
  c.from_characters = encoder == "char_cnn";
  if (c.from_characters) read_character_fields(fields, c);
  else if (encoder != "embedding")
    throw InputError("model", "{}: token_encoder \"{}\" is not supported (embedding, char_cnn)", fields.name(), encoder);
  return c;
}

class Elmo final : public Model {
 public:
  Elmo(ConfigFields& fields, const ModelOptions& options)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)), c_(read_elmo_config(fields)) {
    const auto p = c_.projection_size;
    shape_ = {
        .vocab_size = c_.vocab_size, .width = 2 * p, .layers = c_.num_hidden_layers, .max_positions = unlimited_positions, .causal = false};
    if (c_.from_characters) {
      table_ = allocate({c_.vocab_size, c_.max_characters}, parameters_.options().dtype(at::kInt), "token_characters").fill_(-1);
      characters_ = add_character_cnn(parameters_, "char_cnn", c_.character_embedding_size, c_.filters, c_.num_highway_layers, p);
    } else {
      embedding_ =
          parameters_.add_matrix("token_embedding.weight", {c_.vocab_size, p}, ParameterClass::embedding, {.std = c_.initializer_range});
    }
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      forward_.push_back(add_lstm(parameters_, "forward." + std::to_string(i), p, c_.cell_size, p));
      backward_.push_back(add_lstm(parameters_, "backward." + std::to_string(i), p, c_.cell_size, p));
    }
    head_.slot = c_.tie_word_embeddings
                     ? embedding_
                     : parameters_.add_matrix("softmax.weight", {c_.vocab_size, p}, ParameterClass::head, {.std = c_.initializer_range});
    head_.bias = parameters_.add("softmax.bias", {c_.vocab_size}, ParameterClass::vector, {Initialization::Kind::zeros});
  }

  at::Tensor embed(const at::Tensor& ids) const override {
    if (!c_.from_characters) return embedding_lookup(embedding_, ids);
    if (!has_texts_) throw WorkError("model", "the texts of the tokens have not been set");
    const auto [tokens, places] = at::_unique(ids, /*sorted=*/true, /*return_inverse=*/true);
    return at::embedding(characters_(table_.index_select(0, tokens)), places);
  }

  bool reads_characters() const override { return c_.from_characters; }
  void set_token_texts(std::span<const std::string> texts) override {
    if (!c_.from_characters) return;
    std::vector<std::string> all(texts.begin(), texts.end());
    all.resize(static_cast<std::size_t>(c_.vocab_size));  // rows past the tokenizer's last id are empty texts
    table_.copy_(character_table(all, c_.max_characters));
    has_texts_ = true;
  }
  void check_tables(const std::string& file) override {
    if (!c_.from_characters) return;
    if (table_.numel() > 0 && (table_.min().item<int>() < 0 || table_.max().item<int>() >= character_count))
      throw InputError("model", "{}: tensor token_characters: expected numbers from 0 to {}", file, character_count - 1);
    has_texts_ = true;
  }
  std::map<std::string, at::Tensor> tables() const override {
    return c_.from_characters ? std::map<std::string, at::Tensor>{{"token_characters", table_}} : std::map<std::string, at::Tensor>{};
  }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    positions_of(embeddings, context);  // refuses a cache
    auto before = context.dropout(embeddings, c_.dropout), after = before;
    const auto tapped = [&](std::string_view point, std::int64_t layer) {
      if (!context.tap) return;
      const auto both = at::cat({before, after}, 2), kept = context.tap(point, layer, both);
      if (!kept.is_same(both))
        before = kept.narrow(2, 0, c_.projection_size), after = kept.narrow(2, c_.projection_size, c_.projection_size);
    };
    tapped("embed", -1);
    for (std::size_t i = 0; i < forward_.size(); ++i) {
      const auto step = [&](const Lstm& lstm, const at::Tensor& x, bool backwards) {
        const auto y = context.dropout(lstm(x, {.documents = context.documents, .backwards = backwards}), c_.dropout);
        return i > 0 ? x + y : y;
      };
      before = step(forward_[i], before, false), after = step(backward_[i], after, true);
      tapped("resid_post", static_cast<std::int64_t>(i));
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
  Slot embedding_;    ///< [V, p]; or
  at::Tensor table_;  ///< the characters of each token [V, max_characters]
  bool has_texts_ = false;
  CharacterCnn characters_;
  std::vector<Lstm> forward_, backward_;
};

const Family elmo_family{"elmo", {"ElmoForBiLM"}, [](ConfigFields& fields, const ModelOptions& options) -> std::unique_ptr<Model> {
                           return std::make_unique<Elmo>(fields, options);
                         }};

}  // namespace
}  // namespace isotrope

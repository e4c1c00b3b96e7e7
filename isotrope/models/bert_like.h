#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "isotrope/models/registry.h"
#include "isotrope/nn/layers.h"

namespace isotrope {

/// What BERT and its relatives have in common (Devlin et al. 2019): learned positions, a norm behind the embedding and behind each half of
/// a block, attention to the whole document, and a head that transforms the hidden states before the tied projection. A family reads its
/// own config.json into this and says what its tensors are called.
struct BertLikeConfig {
  std::int64_t hidden_size, embedding_size, num_hidden_layers, num_attention_heads, intermediate_size, vocab_size;
  std::int64_t position_rows;        ///< of the table
  std::int64_t first_position = 0;   ///< row of a text's first token
  std::int64_t type_vocab_size = 0;  ///< 0: no token types
  double layer_norm_eps = 1e-12, initializer_range = 0.02;
  Activation activation = Activation::gelu;
  bool tie_word_embeddings = true, language_head = false, pooler = false, pair_head = false;
  /// Rates of dropout: behind the embedding's norm, of attention probabilities, of each half's output.
  double embedding_dropout = 0, attention_dropout = 0, attention_output_dropout = 0, mlp_output_dropout = 0;
  double pair_dropout = 0;            ///< of what the pair head reads
  bool sinusoidal_positions = false;  ///< how the table of positions begins
};

struct BertLikeNames {
  struct Block {
    std::string query, key, value, attention_output, attention_norm, mlp_in, mlp_out, mlp_norm;
  };
  std::string prefix;                              ///< "bert."
  std::string words, positions, types, norm;       ///< of the embedding, without the prefix, as the next ones
  std::string embedding_projection;                ///< from embedding_size to hidden_size; empty: the two are one
  std::function<Block(std::int64_t layer)> block;  ///< layers with the same names share their weights
  std::string pooler;                              ///< tanh(W · first token)
  std::string head_dense, head_norm, head_bias;    ///< whole names
  std::string decoder;                             ///< of the projection, whose weight and bias checkpoints may repeat
  std::string pair_head;                           ///< whole name
  std::vector<std::string> buffers = {"embeddings.position_ids", "embeddings.token_type_ids"};
};

/// Fills `defaults` from the fields that BERT, RoBERTa and ALBERT share; InputError where heads do not divide the width.
BertLikeConfig read_bert_like(ConfigFields& fields, BertLikeConfig defaults);

/// The names of BERT and RoBERTa below a prefix ("bert."): embeddings, blocks and pooler, without a head.
BertLikeNames bert_names_under(const std::string& prefix);

std::unique_ptr<Model> make_bert_like(ConfigFields& fields, const ModelOptions& options, BertLikeConfig config, BertLikeNames names);

}  // namespace isotrope

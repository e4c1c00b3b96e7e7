#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "isotrope/kernels/attention.h"
#include "isotrope/kernels/linear.h"
#include "isotrope/nn/dropout.h"
#include "isotrope/nn/kv_cache.h"
#include "isotrope/nn/parameters.h"
#include "isotrope/nn/tap.h"

namespace isotrope {

namespace fs = std::filesystem;

class ConfigFields;
struct TaskHead;
struct TaskHeadLayout;

/// What a forward pass may be told besides its input. All of it optional.
struct ForwardContext {
  at::Tensor positions;  ///< [B, T] int64; default: after the cache, or restarting with each document
  at::Tensor documents;  ///< [B, T] int64: tokens attend to their own document only
  /// B = 1, attention alone, no cache, with `positions`: tokens see the sequence that they end (kernels/sequence_tree.h).
  const SequenceTree* sequences = nullptr;
  at::Tensor token_types;    ///< [B, T] int64: the segment of each token, for families that have them; default: 0
  KvCache* cache = nullptr;  ///< read and extended; decoders alone have one
  Dropout dropout;           ///< in training; which rates, says the model's config
  Tap tap;

  /// The options of an attention in this pass: its documents, and in training the dropout of its probabilities.
  AttentionOptions attention(AttentionOptions options, double dropout_rate) const {
    options.documents = documents;
    options.sequences = sequences;
    if (dropout.acts() && dropout_rate > 0)
      options.on_probabilities = [drop = dropout, dropout_rate](const at::Tensor& p) { return drop(p, dropout_rate); };
    return options;
  }
};

/// What max_positions is of a model that has no limit.
constexpr std::int64_t unlimited_positions = std::int64_t{1} << 60;

/// The numbers that code outside a family may ask for. Without attention, its three are 0.
struct ModelShape {
  std::int64_t vocab_size, width, layers, heads, kv_heads, head_dim, max_positions;
  bool causal = true;                 ///< a decoder, whose tokens see what stands before them; an encoder's see their whole document
  std::int64_t recurrence_flops = 0;  ///< operations of a layer's scan and convolution for one token, forward
  std::int64_t repeated_weights = 0;  ///< numbers of matrices that a token meets again, in layers that share them
};

struct ModelOptions {
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
};

/// A language model: ids or embeddings in, hidden states out; the output head is kept apart so that losses need not hold all logits.
/// Immutable but for its parameters' values; one thread at a time (rotary tables grow on demand).
class Model {
 public:
  virtual ~Model() = default;
  Model(const Model&) = delete;

  const nlohmann::json& config() const { return config_; }  ///< config.json as it was read
  const ModelShape& shape() const { return shape_; }
  /// The rates of dropout that act in training, by their names in config.json; those that the config leaves open have the family's default.
  const std::map<std::string, double>& dropout_rates() const { return dropout_rates_; }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

  /// Token embeddings [B, T, d] of ids [B, T] int64: the input of forward_embeddings.
  virtual at::Tensor embed(const at::Tensor& ids) const = 0;
  /// Final hidden states [B, T, d], after the last norm where the family has one.
  virtual at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context = {}) = 0;
  at::Tensor forward_ids(const at::Tensor& ids, const ForwardContext& context = {}) { return forward_embeddings(embed(ids), context); }
  /// The output projection; its matrix is the embedding itself where the two are tied. Undefined where the folder holds no language-modelling
  /// head (BertModel).
  const Linear& head() const { return head_; }
  bool has_head() const { return head_.defined(); }
  /// What the head projects, from hidden [..., d]: the hidden states themselves, but for families that transform or scale them first.
  virtual at::Tensor head_input(const at::Tensor& hidden) const { return hidden; }
  at::Tensor logits(const at::Tensor& hidden) const;  ///< [..., V]; InputError without a head
  /// What the head projects to find the token before, in language models that read from both sides (biLM); InputError for others.
  virtual at::Tensor backward_head_input(const at::Tensor& hidden) const;
  virtual bool reads_backwards() const { return false; }

  /// Models that read the characters of their tokens must be told each token's text, by id, before they are first used; a folder holds
  /// them.
  virtual bool reads_characters() const { return false; }
  virtual void set_token_texts(std::span<const std::string> /*texts*/) {}
  /// int32 tensors that belong to the model and are not learned, by their names in the folder.
  virtual std::map<std::string, at::Tensor> tables() const { return {}; }
  /// Called when they have been read from `file`: InputError for numbers that mean nothing.
  virtual void check_tables(const std::string& /*file*/) {}

  /// Which of two texts comes second: logits [N, 2] from the hidden states [N, d] of N rows' first tokens; 0: as they stand (next-sentence
  /// prediction of BERT, sentence order of ALBERT). InputError where the folder holds no such head.
  virtual at::Tensor pair_logits(const at::Tensor& first, const Dropout& dropout = {}) const;
  virtual bool has_pair_head() const { return false; }

  /// What a task reads of a text (models/task_head.h); null where the architecture has no head for one.
  const TaskHead* task_head() const { return task_head_.get(); }

  /// The prefix that checkpoints of the bare model leave out ("transformer.").
  virtual std::string prefix() const = 0;
  /// Tensors of older checkpoints that hold no parameter (attention masks, rotary frequencies) and may be passed over.
  virtual bool is_buffer(std::string_view tensor_name) const = 0;
  /// A parameter's name in older checkpoints (LayerNorm.gamma), or empty.
  virtual std::string older_name(const std::string& /*parameter*/) const { return {}; }
  /// The parameter that a stored tensor repeats, because the two are tied; empty for any other.
  virtual std::string copy_of(std::string_view tensor_name) const;
  /// Heads and poolers of the family that this architecture does without, and that a folder may hold all the same.
  virtual bool is_left_out(std::string_view tensor_name) const;

 protected:
  Model(nlohmann::json config, at::TensorOptions options) : config_(std::move(config)), parameters_(options) {}
  /// Positions of this pass and the check that they fit: InputError when a token lies past max_positions, WorkError for an encoder with a
  /// cache.
  at::Tensor positions_of(const at::Tensor& embeddings, const ForwardContext& context) const;

  nlohmann::json config_;
  friend std::unique_ptr<Model> make_model(const nlohmann::json& config, const ModelOptions& options, const std::string& name);
  friend void add_task_head(Model& model, ConfigFields& fields, const TaskHeadLayout& layout);

  ModelShape shape_{};
  std::map<std::string, double> dropout_rates_;
  Linear head_;
  std::shared_ptr<const TaskHead> task_head_;
  Parameters parameters_;
};

/// A model of the family that `config` names, parameters allocated but not set. `name` stands for the file in messages.
/// Throws InputError for an unknown architecture and for a field whose value is not supported; warns once of fields that have no effect
/// here.
std::unique_ptr<Model> make_model(const nlohmann::json& config, const ModelOptions& options, const std::string& name);

}  // namespace isotrope

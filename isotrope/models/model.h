#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "isotrope/nn/kv_cache.h"
#include "isotrope/nn/parameters.h"
#include "isotrope/nn/tap.h"

namespace isotrope {

namespace fs = std::filesystem;

/// What a forward pass may be told besides its input. All of it optional.
struct ForwardContext {
  at::Tensor positions;      ///< [B, T] int64; default: after the cache, or restarting with each document
  at::Tensor documents;      ///< [B, T] int64: tokens attend to their own document only
  KvCache* cache = nullptr;  ///< read and extended
  Tap tap;
};

/// The numbers that code outside a family may ask for.
struct ModelShape {
  std::int64_t vocab_size, width, layers, heads, kv_heads, head_dim, max_positions;
};

/// A language model: ids or embeddings in, hidden states out; the output head is kept apart so that losses need not hold all logits.
/// Immutable but for its parameters' values; one thread at a time (rotary tables grow on demand).
class Model {
 public:
  virtual ~Model() = default;
  Model(const Model&) = delete;

  const nlohmann::json& config() const { return config_; }  ///< config.json as it was read
  const ModelShape& shape() const { return shape_; }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

  /// Token embeddings [B, T, d] of ids [B, T] int64: the input of forward_embeddings.
  virtual at::Tensor embed(const at::Tensor& ids) const = 0;
  /// Final hidden states [B, T, d], after the last norm.
  virtual at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context = {}) = 0;
  at::Tensor forward_ids(const at::Tensor& ids, const ForwardContext& context = {}) { return forward_embeddings(embed(ids), context); }
  /// The output projection [V, d]; the embedding itself where the two are tied.
  virtual const at::Tensor& head() const = 0;
  at::Tensor logits(const at::Tensor& hidden) const;  ///< [..., V]

  /// The prefix that checkpoints of the bare model leave out ("transformer.").
  virtual std::string prefix() const = 0;
  /// Tensors of older checkpoints that hold no parameter (attention masks, rotary frequencies) and may be passed over.
  virtual bool is_buffer(std::string_view tensor_name) const = 0;

 protected:
  Model(nlohmann::json config, at::TensorOptions options) : config_(std::move(config)), parameters_(options) {}
  /// Positions of this pass and the check that they fit: InputError when a token lies past max_positions.
  at::Tensor positions_of(const at::Tensor& embeddings, const ForwardContext& context) const;

  nlohmann::json config_;
  ModelShape shape_{};
  Parameters parameters_;
};

struct ModelOptions {
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
};

/// A model of the family that `config` names, parameters allocated but not set. `name` stands for the file in messages.
/// Throws InputError for an unknown architecture and for a field whose value is not supported; warns once of fields that have no effect here.
std::unique_ptr<Model> make_model(const nlohmann::json& config, const ModelOptions& options, const std::string& name);

}  // namespace isotrope

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "isotrope/io/safetensors.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/step.h"

namespace isotrope {

/// A checkpoint of a run, or any model, for who reads and writes nothing.
struct Checkpoint {
  fs::path folder;
  std::unique_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const TensorFolder> optimizer;  ///< what update rules remember (docs/formats/checkpoint.md); null where nothing is kept

  /// Of a parameter, fp32: its `momentum` (AdamW's exp_avg) or `second_moment`; undefined where its rule keeps none. Valid as long as this
  /// lives, and not to be written to.
  at::Tensor optimizer_state(std::string_view kind, const std::string& parameter) const;
};

/// Opens a run's checkpoint folder, or any model that load_model() reads. Throws InputError besides when the tokenizer does not fit the model.
Checkpoint open_checkpoint(const fs::path& folder, const LoadOptions& options = {});

/// Gradients of a model that no run trains, in memory of their own. The model's parameters become views of it.
class ReadGradients {
 public:
  explicit ReadGradients(Model& model)
      : model_(model), parameters_(model.parameters(), model.parameters().options().dtype().toScalarType()), gradients_(parameters_) {}
  StepOutcome compute(const Objective& objective, std::span<const Batch> batches) {
    return compute_gradients(model_, gradients_, objective, batches);
  }
  at::Tensor of(const std::string& parameter) const { return gradients_.of(parameters_.segment(parameter)); }

 private:
  Model& model_;
  FlatParameters parameters_;
  Gradients gradients_;
};

}  // namespace isotrope

#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "isotrope/models/model.h"
#include "isotrope/optim/optimizer.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// Where a run stands, besides weights and optimizer state. Nothing else decides how it goes on.
struct TrainState {
  std::int64_t step = 0;       ///< steps of the plan that are behind us, skipped ones included
  std::uint64_t position = 0;  ///< windows consumed
  std::int64_t tokens = 0;     ///< counted targets so far
  std::int64_t skipped = 0;    ///< steps skipped by the guard, in all
  std::int64_t skipped_in_row = 0;
  double seconds = 0;                                   ///< of training so far
  std::uint64_t seed = 0;                               ///< the run's
  std::uint64_t context = 0;                            ///< tokens a row
  std::string objective;                                ///< "clm", …: with the context, what a window is that `position` counts
  std::string data;                                     ///< token count and fingerprint of the training file
  nlohmann::json observers = nlohmann::json::object();  ///< what observers remember, by their names
};

/// What a checkpoint holds besides the model's description: fp32 masters, the optimizer's buffers and where the run stands.
struct CheckpointContent {
  at::Tensor master;
  std::vector<NamedTensor> optimizer;
  std::string optimizer_name;
  std::int64_t optimizer_steps = 0;
  TrainState state;
};

/// The present moment, on the CPU; where training itself is there, views of what the next step changes.
CheckpointContent checkpoint_content(const Optimizer& optimizer, const TrainState& state);
/// A copy of it: training may go on while it is written.
CheckpointContent snapshot(const Optimizer& optimizer, const TrainState& state);

/// Saves weights alone, `master` in the layout of `parameters`, as a Hugging Face folder with the tokenizer. Appears whole or not at all.
void save_weights(const fs::path& folder, const Model& model, const at::Tensor& master, const FlatParameters& parameters,
                  const Tokenizer& tokenizer);

/// Saves a checkpoint as a Hugging Face folder with the fp32 master weights, the tokenizer, optimizer.safetensors and train_state.json.
/// The folder appears whole or not at all (AtomicFolder). Throws WorkError when it cannot be written; earlier checkpoints stay.
/// Reads of the model and of `parameters` only what never changes: names, shapes, configuration.
void save_checkpoint(const fs::path& folder, const Model& model, const FlatParameters& parameters, const CheckpointContent& content,
                     const Tokenizer& tokenizer);

/// Restores weights, optimizer and state bit for bit. Throws UsageError for a checkpoint of another update rule, InputError when the folder
/// does not fit the model or what the optimizer remembers of it.
TrainState load_checkpoint(const fs::path& folder, Optimizer& optimizer);

/// Removes RUN/archive/step-N of steps after this one: a run that is resumed there takes them again, perhaps others.
void remove_archives_after(const fs::path& run, std::int64_t step);

/// Removes all but the newest `keep` of RUN/checkpoints/step-N; 0 keeps all.
void rotate_checkpoints(const fs::path& run, std::int64_t keep);

}  // namespace isotrope

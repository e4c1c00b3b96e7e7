#pragma once

#include <memory>

#include "isotrope/base/file.h"
#include "isotrope/models/model.h"
#include "isotrope/optim/optimizer.h"
#include "isotrope/runlog/run_log.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/objective.h"
#include "isotrope/train/run_config.h"
#include "isotrope/train/run_state.h"

namespace isotrope {

/// Everything that a run holds while it is trained: opened from the configuration, checked to fit together, restored when the run goes on.
/// It writes; who only reads a checkpoint takes open_checkpoint() (train/open_checkpoint.h).
struct Session {
  RunConfig config;
  fs::path folder;
  std::unique_ptr<FileLock> lock;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Model> model;
  std::unique_ptr<Optimizer> optimizer;  ///< with the model's parameters
  std::unique_ptr<Gradients> gradients;  ///< of a step
  std::unique_ptr<Objective> objective;  ///< with its data
  std::unique_ptr<RunLog> log;
  TrainState state;

  fs::path checkpoint_folder(std::int64_t step) const { return folder / "checkpoints" / ("step-" + std::to_string(step)); }
  bool evaluates() const { return !config.data.validation.empty() && config.observe.evaluation > 0; }
};

/// Opens a run. Errors: see train().
Session open_session(const RunConfig& config, bool resume);

/// The model that a run starts from, in fp32 on its device: initialised from model.config, or loaded from model.init_from. With a tokenizer
/// it is checked to have a row for every token, and its config gets the special ids that it leaves open.
/// Throws InputError for a model that does not fit the tokenizer or train.context.
std::unique_ptr<Model> starting_model(const RunConfig& config, const Tokenizer* tokenizer);

/// The device of a configuration or command line; UsageError when this build or machine does not have it.
at::Device device_from_option(const std::string& name);

}  // namespace isotrope

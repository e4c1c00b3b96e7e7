#pragma once

#include <memory>
#include <optional>

#include "isotrope/base/file.h"
#include "isotrope/data/sampler.h"
#include "isotrope/data/token_file.h"
#include "isotrope/models/model.h"
#include "isotrope/optim/optimizer.h"
#include "isotrope/runlog/run_log.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/batch.h"
#include "isotrope/train/run_config.h"
#include "isotrope/train/run_state.h"

namespace isotrope {

/// Everything a run holds while it goes: opened from the configuration, checked to fit together, restored when the run goes on.
struct Session {
  RunConfig config;
  fs::path folder;
  std::unique_ptr<FileLock> lock;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<TokenFile> data;
  std::unique_ptr<TokenFile> validation;  ///< null without one
  std::vector<std::int32_t> byte_counts;  ///< of each token id
  std::unique_ptr<Model> model;
  std::unique_ptr<Optimizer> optimizer;  ///< with the model's parameters
  std::unique_ptr<Gradients> gradients;  ///< of a step
  CollatorOptions collation;             ///< what is predicted, and how rows are put together for it
  std::unique_ptr<WindowSampler> sampler;
  std::unique_ptr<WindowSampler> validation_sampler;  ///< of objectives other than clm: the same rows at every evaluation
  std::unique_ptr<RunLog> log;
  TrainState state;

  fs::path checkpoint_folder(std::int64_t step) const { return folder / "checkpoints" / ("step-" + std::to_string(step)); }
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

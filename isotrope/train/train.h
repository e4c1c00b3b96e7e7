#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "isotrope/train/observer.h"
#include "isotrope/train/run_config.h"

namespace isotrope {

struct TrainResult {
  std::filesystem::path folder;      ///< the run
  std::filesystem::path checkpoint;  ///< the last one saved
  std::int64_t steps = 0, tokens = 0, skipped = 0;
  double loss = 0;                         ///< of the last step
  std::map<std::string, double> measures;  ///< of observers: of the last evaluation validation_nll, validation_accuracy …
  double seconds = 0;                      ///< of training, observers and checkpoints apart
};

struct TrainOptions {
  bool resume = false;               ///< go on from the run's newest checkpoint
  std::vector<Observer*> observers;  ///< besides those that the configuration asks for
};

/// Trains as the configuration says and leaves a run folder: config.toml, run.jsonl, checkpoints/step-N, archive/step-N.
///
/// Same configuration, same number of threads: the same bits, also across kill −9 and resume.
/// Throws UsageError (contradicting configuration), InputError (data, tokenizer and model that do not fit; a folder that holds a run,
/// without resume), WorkError (disk full; too many non-finite steps: the last good checkpoint is kept), Interrupted after Ctrl-C and a
/// checkpoint.
TrainResult train(const RunConfig& config, const TrainOptions& options = {});

}  // namespace isotrope

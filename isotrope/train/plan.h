#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "isotrope/models/model.h"
#include "isotrope/optim/rule_share.h"
#include "isotrope/train/run_config.h"

namespace isotrope {

/// Floating-point operations of the model a trained token, a product of an m × k with a k × n matrix counted as 2mkn; forward and backward.
/// Every weight of a matrix: 6, again for each layer that shares it; of the head: 6 · head_share. Causal attention: 6 · layers · heads
/// · head size · (T + 1), the mean over the positions of a window, an encoder's 12 · … · T; without what a kernel computes twice. The
/// recurrence of state-space layers: three times its forward operations. Norms, activations, softmax and the optimizer are left out.
/// Source: Chowdhery et al. 2022 (arXiv 2204.02311), appendix B, here with the causal half of the attention.
struct TokenFlops {
  double matrices = 0, head = 0, attention = 0, recurrence = 0;
  double all() const { return matrices + head + attention + recurrence; }
};
TokenFlops flops_per_token(const Model& model, std::int64_t context, double head_share = 1);

/// What some steps on rows without meaning took, here and now.
struct Calibration {
  std::int64_t steps = 0;         ///< timed; two before them are not
  double step_seconds = 0;        ///< median
  double evaluation_seconds = 0;  ///< of one batch of the evaluation; 0 without evaluation
  std::int64_t peak_bytes = 0;    ///< resident memory of the process at its highest, libtorch included
};

/// What a run will need. Bytes and seconds.
struct RunPlan {
  std::string family;                              ///< the config's model_type, or its architecture
  std::map<std::string, std::int64_t> parameters;  ///< by class
  std::int64_t parameter_count = 0;
  std::int64_t steps = 0, tokens_per_step = 0;
  std::int64_t training_tokens = 0, validation_tokens = 0;  ///< in the token files; 0: not there (yet)
  TokenFlops flops;
  std::int64_t weight_bytes = 0, gradient_bytes = 0, optimizer_bytes = 0;  ///< masters and working copy; fp32 sums; buffers
  std::int64_t matrix_state_bytes = 0;                                     ///< of optimizer_bytes, what belongs to matrices
  std::int64_t checkpoint_bytes = 0, checkpoints_kept = 0;                 ///< of one; 0 kept: none is removed
  std::int64_t checkpoints_written = 0, evaluations = 0;
  std::int64_t archived = 0;            ///< weights that checkpoint.archive keeps besides
  std::vector<RuleShare> rules;         ///< which update rule serves which parameters
  std::int64_t evaluation_batches = 0;  ///< of one evaluation
  double max_seconds = 0;               ///< train.max_minutes; 0: no limit
  std::optional<Calibration> calibration;
  std::map<std::string, std::string> settings;  ///< what was planned: every key of the configuration, its value as TOML

  double tokens() const { return static_cast<double>(steps) * static_cast<double>(tokens_per_step); }
  /// Of training alone, cut at max_seconds; needs the calibration, as the others do.
  double training_seconds() const;
  double evaluation_seconds() const;
  double tokens_per_second() const;
};

/// Plans a run by making its model and taking `calibration_steps` steps on rows without meaning (0: none). Needs the model's configuration or
/// weights, not the data: without token files the counts of them are 0. Writes nothing.
/// Errors: those of train() for the model and the device.
RunPlan plan_run(const RunConfig& config, std::int64_t calibration_steps);

/// As RUN/plan.json keeps it (docs/formats/plan.md). Reading throws InputError for a newer format or a broken file.
nlohmann::json to_json(const RunPlan& plan);
RunPlan read_plan(const std::filesystem::path& file);

/// What a run took, from the effective records of its log.
struct RunMeasure {
  std::int64_t steps = 0, tokens = 0, peak_bytes = 0;
  double seconds = 0, tokens_per_second = 0;  ///< of training; the median of the steps logged, the first two left out
  std::string ended;                          ///< the reason of its last end, or empty while it goes on
};
/// Throws InputError when the folder holds no log.
RunMeasure measure_run(const std::filesystem::path& run);

}  // namespace isotrope

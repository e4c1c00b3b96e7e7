#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "isotrope/runlog/curves.h"
#include "isotrope/study/grid.h"

namespace isotrope {

namespace fs = std::filesystem;

/// What a run of a comparison has come to, read from its log. NaN and nullopt: not there.
struct RunOutcome {
  enum class Status { waiting, running, done, diverged, failed } status = Status::waiting;
  std::int64_t step = 0, tokens = 0;
  double seconds = 0, final_nll = 0, optimizer_seconds_per_step = 0;
  std::optional<std::int64_t> diverged_at;
  std::int64_t state_bytes = 0, matrix_state_bytes = 0;
  Curve nll;  ///< evaluations
  Curve seconds_at;
};

/// A run has diverged that was given up for losses that were not finite, or whose last tenth of training losses has its median half a nat above
/// the first: at the step after which the loss never came below the first again.
RunOutcome outcome_of(const fs::path& run);

/// The step at which the evaluations first reach `nll`, interpolated between the two around it; nullopt where they never do.
std::optional<double> step_reaching(const Curve& evaluations, double nll);

/// compare.json (docs/formats/comparison.md).
nlohmann::json comparison_json(const Grid& grid, const std::vector<GridRun>& runs, const std::vector<RunOutcome>& outcomes);

struct ComparisonOptions {
  fs::path config;
  std::vector<std::string> set;
  Grid grid;
  fs::path output;
  int threads = 1;
  std::function<void(const std::string&)> say;  ///< lines for a reader: the time it will take, runs as they end
  std::function<void()> begin = {};             ///< called once, where there is something to train
};

/// Trains all runs one after another and leaves OUTPUT/runs/…, compare.json, report.html. What is finished is not repeated, and an
/// unfinished run goes on from its checkpoint. Errors: those of train(), before anything is trained where they are in the configuration;
/// InputError where OUTPUT holds runs of another configuration; Interrupted after Ctrl-C. A run that diverges is a result.
nlohmann::json compare(const ComparisonOptions& options);

}  // namespace isotrope

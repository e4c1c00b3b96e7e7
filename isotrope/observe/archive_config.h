#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace isotrope {

/// When weights are archived, as checkpoint.archive says it.
///   every:N     after every N steps
///   log:N       after N steps of the run that lie at equal ratios between the first and the last: the first phase is early
///   loss:a,b,c  when the training loss, as a running mean, first is at or below each of these values
struct ArchiveSchedule {
  enum class Kind { never, every, log, loss } kind = Kind::never;
  std::int64_t number = 0;     ///< N
  std::vector<double> losses;  ///< descending

  /// The steps of log:N in a run of `steps` steps, ascending: N of them, or one a step where the run is shorter.
  std::vector<std::int64_t> log_steps(std::int64_t steps) const;
  /// How often a run of `steps` steps archives its weights; of losses, at most.
  std::int64_t count(std::int64_t steps) const;
};

/// Throws UsageError for any other text; empty: never.
ArchiveSchedule parse_archive_schedule(const std::string& text);

}  // namespace isotrope

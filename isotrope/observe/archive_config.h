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

  /// The steps of `every` and `log` in a run of `steps` steps, ascending; of log:N there are N, or one a step where the run is shorter.
  std::vector<std::int64_t> steps(std::int64_t steps) const;
};

/// Throws UsageError for any other text; empty: never.
ArchiveSchedule parse_archive_schedule(const std::string& text);

}  // namespace isotrope

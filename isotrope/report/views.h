#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/report/run_set.h"
#include "isotrope/runlog/records.h"

namespace isotrope {

// What the page asks for, as JSON texts. The live page fetches them, the report holds them. Numbers that JSON cannot write are null.

/// [{name, folder, place, edition, status, problem, started, version, commit, step, records, keys, latest, tables: {NAME: rows},
/// spectra: {NAME: [ROW, …]}, samples, events, config}]: one object a run; `latest` holds the last value of every curve, the counts of
/// rows, samples and events and the names of spectra say what can be asked for; `place` is the run's folder as a comparison names it.
/// Without `live`, a run that has not ended is `unfinished`, however long ago it wrote its last record.
std::string runs_json(const RunSet& runs, bool live = true);

/// The comparison of the runs (docs/formats/comparison.md); `null` when there is none, {problem} when it cannot be read.
std::string comparison_json(const RunSet& runs);

struct SeriesQuery {
  std::vector<std::string> keys = {};  ///< empty: every curve
  std::string axis = "step";           ///< of `from` and `to`: step, tokens or seconds
  double from = -std::numeric_limits<double>::infinity(), to = std::numeric_limits<double>::infinity();
  std::size_t buckets = 800;
  std::int64_t since = -1;  ///< the `through` of an earlier answer of the same edition: only what that one lacks; whole curves only
};

/// {edition, through, series: {KEY: {from_step, bucket, step, tokens, seconds, value, mean: {step, tokens, seconds, value}}}}
/// Down-sampled by keep_extremes() to `buckets` buckets over the range asked for; `mean` has the mean of every bucket, at its last step,
/// and is there when buckets hold more than one value. A follower drops what it has from step `from_step` on and appends.
std::string series_json(const FollowedRun& run, const SeriesQuery& query);

/// {edition, step, tokens, seconds, names, values: [[of the first row at each step], …]}: the table `name` at up to `columns` steps, its
/// newest among them. A row's value at a step that stands for several is the last that it has of them.
std::string table_json(const FollowedRun& run, std::string_view name, std::size_t columns = 400);

/// {edition, step, tokens, seconds, values: [[the list at the first step], …]}: the spectrum `name` of `row` at up to `frames` steps (≥ 2),
/// its first and its newest among them, `points` (≥ 2) values of each, see thinned().
/// Both are JSON objects without any step when the run has no such table or spectrum.
std::string spectrum_json(const FollowedRun& run, std::string_view name, std::string_view row, std::size_t frames = 60,
                          std::size_t points = longest_spectrum);

/// {NAME: {ROW: spectrum_json()}}: all of them, with up to 60 steps and all values, or as much of these as `bytes` bytes hold, but at least
/// 16 values of the first and the last step.
std::string spectra_json(const FollowedRun& run, std::size_t bytes);

/// The `sample` records, the last `limit` of them.
std::string samples_json(const FollowedRun& run, std::size_t limit = 500);

/// The `run`, `resume`, `end`, `checkpoint`, `skip` and `warning` records, each with `tokens` and `seconds` so far; the last `limit` of
/// them.
std::string events_json(const FollowedRun& run, std::size_t limit = 2000);

/// `text` as a JSON string; bytes that are no UTF-8 are replaced.
std::string json_text(std::string_view text);

}  // namespace isotrope

#include "isotrope/study/comparison.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/median.h"
#include "isotrope/base/progress.h"
#include "isotrope/data/token_file.h"
#include "isotrope/report/report.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/train/plan.h"
#include "isotrope/train/train.h"

namespace isotrope {

namespace {

using nlohmann::json;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

/// A value of an axis as JSON has it: a number where it is one.
json value_json(const std::string& text) {
  std::int64_t whole = 0;
  if (const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
      error == std::errc() && at == text.data() + text.size())
    return whole;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && std::isfinite(value) ? json(value) : json(text);
}

constexpr double divergence_margin = 0.5;  // nats above the first loss: more than batches differ by

/// The curve between its points; NaN before the first.
double value_at(const Curve& curve, double step) {
  const auto after = std::ranges::find_if(curve.steps, [&](auto s) { return static_cast<double>(s) >= step; }) - curve.steps.begin();
  const auto i = static_cast<std::size_t>(after);
  if (i == curve.steps.size()) return nan;
  const auto at = static_cast<double>(curve.steps[i]);
  if (at == step || i == 0) return at == step ? curve.values[i] : nan;
  const auto before = static_cast<double>(curve.steps[i - 1]);
  return curve.values[i - 1] + (curve.values[i] - curve.values[i - 1]) * (step - before) / (at - before);
}

const Curve& curve(const RunCurves& curves, std::string_view name) {
  static const Curve none;
  const auto found = curves.curves().find(name);
  return found == curves.curves().end() ? none : found->second;
}

/// {"mean", "sd", "n"} of the numbers that are there; null without any.
json spread(const std::vector<double>& all) {
  std::vector<double> values;
  std::ranges::copy_if(all, std::back_inserter(values), [](double value) { return std::isfinite(value); });
  if (values.empty()) return nullptr;
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {{"mean", mean}, {"sd", values.size() > 1 ? json(std::sqrt(squares / (n - 1))) : json(nullptr)}, {"n", values.size()}};
}

std::string setting_text(const Grid& grid, const GridRun& run) {
  std::string text;
  for (std::size_t a = 0; a < grid.axes.size(); ++a) text += grid.axes[a].key + "=" + run.values[a] + " ";
  return text + "seed=" + std::to_string(run.seed);
}

json settings_json(const Grid& grid, const std::vector<std::string>& values) {
  auto settings = json::object();
  for (std::size_t a = 0; a < grid.axes.size(); ++a) settings[grid.axes[a].key] = value_json(values[a]);
  return settings;
}

}  // namespace

std::optional<double> step_reaching(const Curve& evaluations, double nll) {
  for (std::size_t i = 0; i < evaluations.steps.size(); ++i) {
    const auto step = static_cast<double>(evaluations.steps[i]);
    if (!(evaluations.values[i] <= nll)) continue;
    if (i == 0 || !std::isfinite(evaluations.values[i - 1])) return step;
    const auto before = static_cast<double>(evaluations.steps[i - 1]);
    const double from = evaluations.values[i - 1], to = evaluations.values[i];
    return before + (step - before) * (from - nll) / (from - to);
  }
  return std::nullopt;
}

RunOutcome outcome_of(const fs::path& run) {
  RunOutcome outcome{.final_nll = nan, .optimizer_seconds_per_step = nan};
  if (!fs::exists(run / "run.jsonl")) return outcome;
  outcome.status = RunOutcome::Status::running;
  const auto curves = read_curves(run);
  const auto& loss = curve(curves, "loss");
  outcome.nll = curve(curves, "eval.nll"), outcome.seconds_at = curve(curves, "seconds");
  outcome.step = static_cast<std::int64_t>(curves.last_step());
  outcome.tokens = static_cast<std::int64_t>(curves.position("tokens", curves.last_step()));
  outcome.seconds = curves.position("seconds", curves.last_step());
  if (const auto& times = curve(curves, "optimizer_seconds").values; !times.empty()) outcome.optimizer_seconds_per_step = median(times);
  if (!outcome.nll.values.empty()) outcome.final_nll = outcome.nll.values.back();
  else if (!loss.values.empty()) outcome.final_nll = loss.values.back();
  RunLogReader reader(run);
  std::string ended, last_type;
  for (auto records = reader.next(); !records.empty(); records = reader.next())
    for (const auto& record : records) {
      const auto type = record.value("type", "");
      if (type == "rules")
        outcome.state_bytes = record.value("state_bytes", std::int64_t{0}),
        outcome.matrix_state_bytes = record.value("matrix_state_bytes", std::int64_t{0});
      if (type == "resume") ended.clear();
      if (type == "end") ended = record.value("reason", "");
      if (type == "step" || type == "skip") last_type = type;
    }
  using enum RunOutcome::Status;
  if (ended == "done" || ended == "time") outcome.status = done;
  if (ended == "failed") outcome.status = last_type == "skip" ? diverged : failed;
  if (loss.values.empty()) return outcome;
  const double first = loss.values.front();
  const auto tenth = std::max<std::ptrdiff_t>(1, std::ssize(loss.values) / 10);
  if (outcome.status == done && !(median({loss.values.end() - tenth, loss.values.end()}) <= first + divergence_margin))
    outcome.status = diverged;
  if (outcome.status == diverged) {
    outcome.final_nll = nan;
    outcome.diverged_at = 0;
    for (std::size_t i = 0; i < loss.values.size(); ++i)
      if (loss.values[i] <= first) outcome.diverged_at = static_cast<std::int64_t>(loss.steps[i]) + 1;
  }
  return outcome;
}

json comparison_json(const Grid& grid, const std::vector<GridRun>& runs, const std::vector<RunOutcome>& outcomes) {
  static const std::map<RunOutcome::Status, const char*> names{{RunOutcome::Status::waiting, "waiting"},
                                                               {RunOutcome::Status::running, "running"},
                                                               {RunOutcome::Status::done, "done"},
                                                               {RunOutcome::Status::diverged, "diverged"},
                                                               {RunOutcome::Status::failed, "failed"}};
  json all{{"format", 1},           {"axes", json::array()},    {"seeds", grid.seeds},  {"reference", nullptr},
           {"runs", json::array()}, {"summary", json::array()}, {"best", json::array()}};
  for (const auto& axis : grid.axes) {
    auto values = json::array();
    for (const auto& value : axis.values) values.push_back(value_json(value));
    all["axes"].push_back({{"key", axis.key}, {"values", values}});
  }

  // Points of the grid in their order, each with its runs.
  std::vector<std::vector<std::string>> points;
  std::map<std::vector<std::string>, std::vector<std::size_t>> of_point;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!of_point.contains(runs[i].values)) points.push_back(runs[i].values);
    of_point[runs[i].values].push_back(i);
  }
  const auto ended = [&](std::size_t i) {
    return outcomes[i].status == RunOutcome::Status::done || outcomes[i].status == RunOutcome::Status::diverged;
  };
  const auto losses = [&](const std::vector<std::string>& point) {
    std::vector<double> values;
    for (const auto i : of_point.at(point)) values.push_back(ended(i) ? outcomes[i].final_nll : nan);
    return spread(values);
  };
  const auto mean_loss = [&](const std::vector<std::string>& point) {  // a point that diverges with some seed is no best one
    if (std::ranges::any_of(of_point.at(point), [&](auto i) { return outcomes[i].status == RunOutcome::Status::diverged; }))
      return std::numeric_limits<double>::infinity();
    const auto loss = losses(point);
    return loss.is_null() ? std::numeric_limits<double>::infinity() : loss["mean"].get<double>();
  };

  double target = nan;
  if (!grid.reference.empty()) {
    const auto equals = grid.reference.find('=');
    const auto axis =
        static_cast<std::size_t>(std::ranges::find(grid.axes, grid.reference.substr(0, equals), &Axis::key) - grid.axes.begin());
    for (const auto& point : points)
      if (point[axis] == grid.reference.substr(equals + 1))
        if (const double loss = mean_loss(point); std::isfinite(loss) && !(target <= loss)) target = loss;
    all["reference"] = {{"name", grid.reference}, {"nll", number(target)}};
  }

  std::vector<double> steps_to(runs.size(), nan), seconds_to(runs.size(), nan);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto& o = outcomes[i];
    if (const auto step = step_reaching(o.nll, target)) {
      steps_to[i] = *step;
      seconds_to[i] = value_at(o.seconds_at, *step);
    }
    const auto to = [&](double value) { return grid.reference.empty() ? json::object() : json{{grid.reference, number(value)}}; };
    all["runs"].push_back({{"settings", settings_json(grid, runs[i].values)},
                           {"seed", runs[i].seed},
                           {"folder", runs[i].folder},
                           {"status", names.at(o.status)},
                           {"step", o.step},
                           {"tokens", o.tokens},
                           {"seconds", o.seconds},
                           {"final_nll", ended(i) ? number(o.final_nll) : json(nullptr)},
                           {"diverged_at", o.diverged_at ? json(*o.diverged_at) : json(nullptr)},
                           {"state_bytes", o.state_bytes > 0 ? json(o.state_bytes) : json(nullptr)},
                           {"matrix_state_bytes", o.state_bytes > 0 ? json(o.matrix_state_bytes) : json(nullptr)},
                           {"optimizer_seconds_per_step", number(o.optimizer_seconds_per_step)},
                           {"steps_to", to(steps_to[i])},
                           {"seconds_to", to(seconds_to[i])}});
  }

  for (const auto& point : points) {
    std::vector<double> steps, seconds, optimizer;
    std::int64_t diverged = 0;
    const RunOutcome* begun = nullptr;
    for (const auto i : of_point.at(point)) {
      steps.push_back(steps_to[i]), seconds.push_back(seconds_to[i]), optimizer.push_back(outcomes[i].optimizer_seconds_per_step);
      diverged += outcomes[i].status == RunOutcome::Status::diverged;
      if (outcomes[i].state_bytes > 0) begun = &outcomes[i];
    }
    all["summary"].push_back({{"settings", settings_json(grid, point)},
                              {"runs", of_point.at(point).size()},
                              {"diverged", diverged},
                              {"final_nll", losses(point)},
                              {"steps_to", spread(steps)},
                              {"seconds_to", spread(seconds)},
                              {"state_bytes", begun ? json(begun->state_bytes) : json(nullptr)},
                              {"matrix_state_bytes", begun ? json(begun->matrix_state_bytes) : json(nullptr)},
                              {"optimizer_seconds_per_step", spread(optimizer)}});
  }

  for (std::size_t a = 0; a < grid.axes.size(); ++a) {
    const auto& axis = grid.axes[a];
    if (axis.values.size() < 2 || !std::ranges::all_of(axis.values, [](const auto& value) { return value_json(value).is_number(); }))
      continue;
    std::vector<std::vector<std::string>> others;  // points without this axis
    std::map<std::vector<std::string>, std::vector<std::string>> best;
    for (const auto& point : points) {
      auto rest = point;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(a));
      if (!best.contains(rest)) others.push_back(rest), best[rest] = point;
      else if (mean_loss(point) < mean_loss(best[rest])) best[rest] = point;
    }
    std::vector<double> sorted;
    for (const auto& value : axis.values) sorted.push_back(value_json(value).get<double>());
    std::ranges::sort(sorted);
    for (const auto& rest : others) {
      const auto& point = best[rest];
      const double loss = mean_loss(point), value = value_json(point[a]).get<double>();
      if (!std::isfinite(loss)) continue;
      auto settings = settings_json(grid, point);
      settings.erase(axis.key);
      all["best"].push_back({{"settings", settings},
                             {"axis", axis.key},
                             {"value", value},
                             {"final_nll", loss},
                             {"at_edge", value == sorted.front() || value == sorted.back()}});
    }
  }
  return all;
}

namespace {

/// Refuses to mix runs of two configurations in one folder.
void expect_same_configuration(const GridRun& run) {
  const fs::path folder = run.config.run.folder;
  if (!fs::exists(folder / "config.toml")) return;
  RunConfig stored;
  auto schema = stored.schema();
  schema.read_file(folder / "config.toml");
  auto wanted = run.config;
  std::map<std::string, std::string> before;
  for (const auto& [key, value] : schema.settings()) before[key] = value;
  for (const auto& [key, value] : wanted.schema().settings())
    if (key != "run.folder" && key != "train.threads" && before[key] != value)
      throw with_hint(
          InputError("compare", "{}: was trained with {} = {}, the comparison has {}", folder.string(), key, before[key], value),
          "another folder after -o, or remove this one");
}

/// Files that are not there or not what they should be are no surprise after hours.
void expect_data(const std::vector<GridRun>& runs) {
  std::set<std::string> seen;
  for (const auto& run : runs)
    for (const auto& file : {run.config.data.train, run.config.data.validation})
      if (!file.empty() && seen.insert(file).second) TokenFile{file};
}

/// Seconds that the runs will take, measured by some steps of each kind of run: settings that change numbers alone take no other time.
double expected_seconds(const Grid& grid, const std::vector<GridRun>& runs, const std::vector<RunOutcome>& outcomes) {
  std::map<std::string, double> seconds;  // by the settings that can matter
  double all = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    using enum RunOutcome::Status;
    if (outcomes[i].status == done || outcomes[i].status == diverged) continue;
    std::string kind;
    for (std::size_t a = 0; a < grid.axes.size(); ++a)
      if (const auto& key = grid.axes[a].key; key != "optimizer.lr" && key != "optimizer.weight_decay")
        kind += key + "=" + runs[i].values[a] + " ";
    if (!seconds.contains(kind)) {
      const auto plan = plan_run(runs[i].config, 3);
      seconds[kind] = plan.training_seconds() + plan.evaluation_seconds();
    }
    const auto share = 1 - static_cast<double>(outcomes[i].step) / static_cast<double>(runs[i].config.train.steps);
    all += seconds[kind] * share;
  }
  return all;
}

}  // namespace

json compare(const ComparisonOptions& options) {
  const auto& grid = options.grid;
  auto runs = grid.runs(options.config, options.set, options.output);
  expect_data(runs);
  std::vector<RunOutcome> outcomes;
  for (auto& run : runs) {
    if (run.config.train.threads == 0) run.config.train.threads = options.threads;
    expect_same_configuration(run);
    outcomes.push_back(outcome_of(run.config.run.folder));
    if (outcomes.back().status == RunOutcome::Status::running) outcomes.back().status = RunOutcome::Status::waiting;
  }
  const auto write = [&] {
    auto all = comparison_json(grid, runs, outcomes);
    write_file(options.output / "compare.json", all.dump() + "\n", "compare");
    return all;
  };
  const auto finished = [](const RunOutcome& o) {
    return o.status == RunOutcome::Status::done || o.status == RunOutcome::Status::diverged;
  };
  const auto open = std::ranges::count_if(outcomes, [&](const auto& o) { return !finished(o); });
  if (open > 0 && options.begin) options.begin();
  if (open > 0)
    options.say(fmt::format("{} runs, {} to do: about {}", runs.size(), open, duration_text(expected_seconds(grid, runs, outcomes))));
  write();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (finished(outcomes[i])) continue;
    const fs::path folder = runs[i].config.run.folder;
    outcomes[i].status = RunOutcome::Status::running;
    write();
    options.say(fmt::format("run {} of {}: {}", i + 1, runs.size(), setting_text(grid, runs[i])));
    try {
      train(runs[i].config, {.resume = fs::exists(folder / "run.jsonl")});
    } catch (const Interrupted&) {
      outcomes[i].status = RunOutcome::Status::waiting;
      write();
      throw;
    } catch (const std::exception&) {
      outcomes[i] = outcome_of(folder);
      if (outcomes[i].status != RunOutcome::Status::diverged) {
        outcomes[i].status = RunOutcome::Status::failed;
        write();
        options.say(fmt::format("  failed: {}", setting_text(grid, runs[i])));
        throw;
      }
    }
    outcomes[i] = outcome_of(folder);
    write();
    const auto& o = outcomes[i];
    options.say(o.status == RunOutcome::Status::diverged
                    ? fmt::format("  diverged at step {}", o.diverged_at.value_or(0))
                    : fmt::format("  final loss {:.4f}, {} of training", o.final_nll, duration_text(o.seconds)));
  }
  auto all = write();
  RunSet set({options.output}, false);
  while (set.refresh()) {}
  write_file(options.output / "report.html", report_html(set), "compare");
  return all;
}

}  // namespace isotrope

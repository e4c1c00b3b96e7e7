// isotrope eval --tasks: what a model knows, by the definitions of lm-evaluation-harness.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <set>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/base/stop.h"
#include "isotrope/eval/task_run.h"
#include "isotrope/kernels/isa.h"
#include "isotrope_version.h"

namespace isotrope::app {

namespace {

using nlohmann::json;

constexpr std::int64_t usual_max_tokens = 256;  // as lm-evaluation-harness has it

struct Result {
  std::string name;
  std::size_t items = 0;
  std::vector<Metric> metrics;
  std::string headline;
};

std::vector<Task> read_tasks(const EvalCommand& options) {
  std::vector<Task> tasks;
  std::set<std::string> names;
  for (const auto& name : options.tasks) {
    if (name.empty()) throw UsageError("eval", "--tasks has an empty name");
    std::string group;
    for (auto& task : load_tasks(name, {.folder = options.task_folder, .limit = options.limit, .shots = options.shots})) {
      if (!task.group.empty() && task.group != group && !names.insert(group = task.group).second)
        throw UsageError("eval", "there are two tasks called {}", group);
      if (!names.insert(task.name).second) throw UsageError("eval", "the task {} is asked for twice", task.name);
      tasks.push_back(std::move(task));
    }
  }
  if (options.shots && std::ranges::none_of(tasks, &Task::takes_shots))
    throw UsageError("eval", "--shots has no effect: none of the tasks takes solved examples");
  if (options.max_tokens && std::ranges::none_of(tasks, [](const Task& task) { return task.kind == TaskKind::generation; }))
    throw UsageError("eval", "--max-tokens has no effect: in none of the tasks is a text generated");
  return tasks;
}

/// What decides the answers: a journal of others is not gone on with.
json identity_of(const LoadedModel& loaded, const EvalCommand& options) {
  return {{"isotrope_answers", 1},
          {"version", ISOTROPE_VERSION},
          {"instructions", isa_name(instruction_set())},
          {"model", model_fingerprint(*loaded.model)},
          {"dtype", loaded.model->parameters().options().dtype() == at::kBFloat16 ? "bfloat16" : "float32"},  // others are refused
          {"tokenizer", loaded.tokenizer->fingerprint()},
          {"end_of_text", loaded.eos},
          {"context", options.context > 0 ? options.context : scoring_context(*loaded.model)},
          {"shots", options.shots.value_or(usual_shots)},
          {"max_tokens", options.max_tokens.value_or(usual_max_tokens)}};
}

json metrics_json(const std::vector<Metric>& metrics) {
  json all = json::object();
  for (const auto& metric : metrics) {
    all[metric.name] = metric.value;
    if (metric.standard_error) all[metric.name + "_stderr"] = *metric.standard_error;
  }
  return all;
}

json results_json(const std::vector<Result>& results, const json& identity, const EvalCommand& options, double seconds) {
  json tasks = json::object();
  for (const auto& result : results) {
    auto& task = tasks[result.name];
    task = metrics_json(result.metrics);
    task["items"] = result.items;
    task["headline"] = result.headline;
  }
  return {{"isotrope_results", 1}, {"model", options.model}, {"tasks", tasks}, {"settings", identity}, {"seconds", seconds}};
}

std::string cell(const Metric& metric) {
  const bool share = metric.name.starts_with("acc") || metric.name.starts_with("exact");
  const auto digits = share ? 4 : 3;
  return metric.standard_error ? fmt::format("{:.{}f} ± {:.{}f}", metric.value, digits, *metric.standard_error, digits)
                               : fmt::format("{:.{}f}", metric.value, digits);
}

/// Columns as wide as what stands in them; ± is one column, and two bytes.
void print_table(const std::vector<std::vector<std::string>>& rows) {
  const auto width_of = [](const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  };
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - width_of(row[i]), ' ');
      const bool to_the_right = i == 1;  // the number of items
      line += (i > 0 ? "  " : "") + (to_the_right ? space + row[i] : row[i] + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::puts(line.c_str());
  }
}

/// One table for each set of metrics, in the order of the tasks; the metric that a task's definition names first is marked.
void print_results(const std::vector<Result>& results) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> columns;
  const auto print = [&] {
    if (!rows.empty()) print_table(rows);
    rows.clear();
  };
  for (const auto& result : results) {
    std::vector<std::string> names{"task", "items"}, row{result.name, std::to_string(result.items)};
    for (const auto& metric : result.metrics) {
      names.push_back(metric.name);
      row.push_back(cell(metric) + (metric.name == result.headline && result.metrics.size() > 1 ? " *" : ""));
    }
    if (names != columns) {
      const bool first = columns.empty();
      print();
      if (!first) std::puts("");
      rows.push_back(columns = names);
    }
    rows.push_back(std::move(row));
  }
  print();
}

/// The groups' own rows stand before their first task's.
void add_groups(std::vector<Result>& results, const std::vector<Task>& tasks) {
  std::map<std::string, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < tasks.size(); ++i)
    if (!tasks[i].group.empty()) groups[tasks[i].group].push_back(i);
  std::vector<std::pair<std::size_t, Result>> rows;
  for (const auto& [name, members] : groups) {
    if (members.size() < 2) continue;
    std::vector<std::vector<Metric>> metrics;
    std::vector<std::size_t> items;
    Result row{.name = name, .headline = tasks[members.front()].headline};
    for (const auto i : members) metrics.push_back(results[i].metrics), items.push_back(results[i].items), row.items += results[i].items;
    row.metrics = group_metrics(metrics, items);
    rows.emplace_back(members.front(), std::move(row));
  }
  std::ranges::sort(rows, std::ranges::greater{}, &std::pair<std::size_t, Result>::first);
  for (auto& [place, row] : rows) results.insert(results.begin() + static_cast<std::ptrdiff_t>(place), std::move(row));
}

}  // namespace

void run_eval_tasks(const EvalCommand& options) {
  const auto tasks = read_tasks(options);  // broken records are told of before a model is loaded
  const auto loaded = load(options.model, options.compute, options.common);
  StopRequest stop;
  const fs::path folder = options.output;
  std::optional<FileLock> lock;
  TaskJournal journal;
  const auto identity = identity_of(loaded, options);
  if (!options.output.empty()) {
    create_folders(folder, "eval");
    lock.emplace(folder, "eval");
    journal = TaskJournal(folder / "answers.jsonl", identity);
    if (journal.size() > 0) note(fmt::format("{} answers are there already: going on", journal.size()));
  }
  std::vector<Result> results;
  const auto begun = std::chrono::steady_clock::now();
  for (const auto& task : tasks) {
    Progress progress(task.name, 0, "requests");
    TaskRunOptions run{
        .context = options.context,
        .batch_tokens = options.batch_tokens,
        .batch_size = options.batch_size,
        .max_tokens = options.max_tokens.value_or(usual_max_tokens),
        .eos = loaded.eos,
        .progress = [&](std::size_t done, std::size_t all) { progress.update(static_cast<std::int64_t>(done), fmt::format("of {}", all)); },
        .stop_requested = [&] { return stop.requested(); }};
    const auto outcomes = [&] {
      try {
        return run_task(*loaded.model, *loaded.tokenizer, task, run, journal);
      } catch (Interrupted& stopped) {
        stopped.set_hint(options.output.empty() ? "with --output the answers so far would have been kept"
                                                : "the answers so far are kept: the same command goes on with them");
        throw;
      }
    }();
    results.push_back({task.name, task.items.size(), task_metrics(task, outcomes), task.headline});
    auto& result = results.back();  // a definition may ask for a metric that its records have no numbers for
    if (std::ranges::find(result.metrics, result.headline, &Metric::name) == result.metrics.end())
      result.headline = result.metrics.front().name;
  }
  add_groups(results, tasks);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  const auto all = results_json(results, identity, options, seconds);
  if (!options.output.empty()) write_file(folder / "results.json", all.dump(2) + "\n", "eval");
  if (options.common.json) return print_json(all);
  print_results(results);
  note(fmt::format("{} in {}{}", results.size() == 1 ? "1 task" : fmt::format("{} tasks", tasks.size()), duration_text(seconds),
                   options.output.empty() ? "" : ": " + (folder / "results.json").string()));
}

}  // namespace isotrope::app

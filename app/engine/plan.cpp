#include "isotrope/train/plan.h"

#include <cmath>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"

namespace isotrope::app {

namespace {

void line(std::string_view name, const std::string& value) { std::fputs(fmt::format("{:<13}{}\n", name, value).c_str(), stdout); }

std::string bytes(std::int64_t count) { return bytes_text(static_cast<double>(count)); }
std::string count(double number) { return count_text(number); }
std::string count(std::int64_t number) { return count_text(static_cast<double>(number)); }

/// 62.4 MFLOP: operations, not operations a second.
std::string operations(double flops) {
  const char* const units[] = {"", "k", "M", "G", "T", "P", "E", "Z"};
  std::size_t unit = 0;
  while (flops >= 999.5 && unit + 1 < std::size(units)) flops /= 1000, ++unit;
  return fmt::format("{:.3g} {}FLOP", flops, units[unit]);
}

void print_work(const RunPlan& plan) {
  std::string classes;
  for (const auto& [kind, number] : plan.parameters) classes += fmt::format("{}{} {}", classes.empty() ? "" : ", ", kind, count(number));
  line("parameters", fmt::format("{} ({}: {})", count(plan.parameter_count), plan.family, classes));
  auto tokens = fmt::format("{} steps of {} tokens: {}", plan.steps, plan.tokens_per_step, count(plan.tokens()));
  if (plan.training_tokens > 0)
    tokens += fmt::format(", {:.3g} times the {} of the training file", plan.tokens() / static_cast<double>(plan.training_tokens),
                          count(plan.training_tokens));
  line("tokens", tokens);
  const auto all = plan.flops.all();
  std::string parts;
  for (const auto& [name, part] : {std::pair("matrices", plan.flops.matrices),
                                   {"head", plan.flops.head},
                                   {"attention", plan.flops.attention},
                                   {"recurrence", plan.flops.recurrence}})
    if (part > 0 || std::string_view(name) != "recurrence")
      parts += fmt::format("{}{} {:.0f}%", parts.empty() ? "" : ", ", name, 100 * part / all);
  line("operations", fmt::format("{} in all; {} a step, {} a token ({})", operations(all * plan.tokens()),
                                 operations(all * static_cast<double>(plan.tokens_per_step)), operations(all), parts));
}

void print_space(const RunPlan& plan) {
  const auto held = plan.weight_bytes + plan.gradient_bytes + plan.optimizer_bytes;
  const auto parts = fmt::format("weights {}, gradients {}, optimizer {}", bytes(plan.weight_bytes), bytes(plan.gradient_bytes),
                                 bytes(plan.optimizer_bytes));
  if (plan.calibration)
    line("memory", fmt::format("{} at most ({}; activations, checkpoint and program {})", bytes(plan.calibration->peak_bytes), parts,
                               bytes(std::max<std::int64_t>(0, plan.calibration->peak_bytes - held))));
  else line("memory", fmt::format("{} ({}), and activations", bytes(held), parts));
  const auto kept = plan.checkpoints_kept > 0 ? std::min(plan.checkpoints_kept, plan.checkpoints_written) : plan.checkpoints_written;
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  const double archive = 4 * number(plan.archived) * number(plan.parameter_count);
  auto disk = fmt::format("{}: {} checkpoints kept of {}", bytes_text(number(kept) * number(plan.checkpoint_bytes) + archive), kept,
                          bytes(plan.checkpoint_bytes));
  if (plan.archived > 0) disk += fmt::format(", weights archived {} times at most, {} in all", plan.archived, bytes_text(archive));
  line("disk", disk);
}

void print_rules(const RunPlan& plan) {
  for (const auto& share : plan.rules) line(&share == plan.rules.data() ? "rules" : "", text_of(share) + ": " + names_of(share));
  if (plan.matrix_state_bytes > 0)  // older plans do not say
    line("state", fmt::format("{} of matrices, {} of the whole model", bytes(plan.matrix_state_bytes), bytes(plan.optimizer_bytes)));
}

void print_time(const RunPlan& plan) {
  if (!plan.calibration) return;
  const auto& c = *plan.calibration;
  line("speed", fmt::format("{:.0f} tokens/s, {} a step (median of {}), {}/s", plan.tokens_per_second(),
                            short_duration_text(c.step_seconds), c.steps, operations(plan.flops.all() * plan.tokens_per_second())));
  auto time = duration_text(plan.training_seconds()) + " of training";
  if (plan.max_seconds > 0 && plan.training_seconds() >= plan.max_seconds)
    time += fmt::format(" (train.max_minutes; {:.0f} of {} steps)", plan.max_seconds / c.step_seconds, plan.steps);
  if (plan.evaluations > 0)
    time += fmt::format(", {} for {} evaluations", short_duration_text(plan.evaluation_seconds()), plan.evaluations);
  line("time", time);
}

void warn_of_changes(const RunPlan& plan, RunConfig config) {
  config.resolve();
  for (const auto& [key, value] : config.schema().settings())
    if (const auto planned = plan.settings.find(key); planned != plan.settings.end() && planned->second != value && key != "run.folder")
      warn(fmt::format("[plan] the plan was made with {} = {}; the run has {}", key, planned->second, value));
}

void print_comparison(const RunPlan& plan, const RunMeasure& run) {
  const auto row = [](std::string_view what, const std::string& planned, const std::string& measured, double ratio) {
    const auto difference = std::isfinite(ratio) && ratio > 0 ? fmt::format("{:+.1f}%", 100 * (ratio - 1)) : std::string("–");
    std::fputs(fmt::format("{:<13}{:>12}{:>12}{:>12}\n", what, planned, measured, difference).c_str(), stdout);
  };
  const auto state = run.ended.empty() ? "no end is recorded: it goes on, or was killed" : "ended: " + run.ended;
  std::fputs(fmt::format("\nThe run after {} of {} steps ({}):\n", run.steps, plan.steps, state).c_str(), stdout);
  std::fputs(fmt::format("{:<13}{:>12}{:>12}{:>12}\n", "", "planned", "measured", "difference").c_str(), stdout);
  const auto done = static_cast<double>(run.steps);
  row("tokens", count(done * static_cast<double>(plan.tokens_per_step)), count(run.tokens),
      static_cast<double>(run.tokens) / (done * static_cast<double>(plan.tokens_per_step)));
  if (!plan.calibration) return;
  const auto seconds = done * plan.calibration->step_seconds;
  row("tokens/s", fmt::format("{:.0f}", plan.tokens_per_second()), fmt::format("{:.0f}", run.tokens_per_second),
      run.tokens_per_second / plan.tokens_per_second());
  row("training", short_duration_text(seconds), short_duration_text(run.seconds), run.seconds / seconds);
  row("memory", bytes(plan.calibration->peak_bytes), bytes(run.peak_bytes),
      static_cast<double>(run.peak_bytes) / static_cast<double>(plan.calibration->peak_bytes));
}

nlohmann::json measure_json(const RunMeasure& run) {
  return {{"steps", run.steps},           {"tokens", run.tokens},
          {"seconds", run.seconds},       {"tokens_per_second", run.tokens_per_second},
          {"peak_bytes", run.peak_bytes}, {"ended", run.ended.empty() ? nlohmann::json(nullptr) : nlohmann::json(run.ended)}};
}

}  // namespace

void run_plan(const PlanCommand& options) {
  const bool is_run = fs::is_directory(options.config);
  auto config = read_run_config(TrainCommand{.common = options.common,
                                             .config = is_run ? (fs::path(options.config) / "config.toml").string() : options.config,
                                             .device = options.device,
                                             .dtype = options.dtype,
                                             .seed = {},
                                             .set = options.set});
  if (is_run) config.run.folder = options.config;  // it may have been moved
  const fs::path folder = config.run.folder, kept = folder / "plan.json";
  const bool started = fs::exists(folder / "run.jsonl");
  RunPlan plan;
  if (started && fs::exists(kept)) {
    plan = read_plan(kept);
    warn_of_changes(plan, config);
  } else {
    plan = plan_run(config, options.steps);
    if (started) note(fmt::format("[plan] {} holds no plan from before the run; this one was made now", folder.string()));
    else if (!options.no_save) {
      create_folders(folder, "plan");
      write_file(kept, isotrope::to_json(plan).dump(2) + "\n", "plan");
      note(fmt::format("kept as {}: after the run, `isotrope plan {}` compares", kept.string(), folder.string()));
    }
  }
  auto json = isotrope::to_json(plan);
  std::optional<RunMeasure> measured;
  if (started) measured = measure_run(folder);
  if (options.common.json) {
    json["measured"] = measured ? measure_json(*measured) : nlohmann::json(nullptr);
    return print_json(json);
  }
  print_work(plan), print_rules(plan), print_space(plan), print_time(plan);
  if (measured && measured->steps > 0) print_comparison(plan, *measured);
}

}  // namespace isotrope::app

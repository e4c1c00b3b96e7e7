#include "isotrope/train/plan.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "isotrope/base/error.h"
#include "isotrope/base/median.h"
#include "isotrope/base/memory_use.h"
#include "isotrope/base/progress.h"
#include "isotrope/io/json.h"
#include "isotrope/kernels/retained_memory.h"
#include "isotrope/observe/archive_config.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/train/objective.h"
#include "isotrope/train/run_state.h"
#include "isotrope/train/session.h"
#include "isotrope/train/step.h"

namespace isotrope {

namespace {

constexpr std::string_view where = "plan";
constexpr std::int64_t plan_format = 1, warm_up_steps = 2;

double seconds_of(const std::function<void()>& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

/// The steps of a run, with a learning rate of 0, and its evaluation, on rows without meaning.
class Calibrator {
 public:
  Calibrator(Model& model, const RunConfig& config, const Objective& objective)
      : model_(model),
        config_(config),
        objective_(objective),
        optimizer_(make_optimizer(model.parameters(), config.train.precision == "bf16" ? at::kBFloat16 : at::kFloat, config.optimizer)),
        gradients_(optimizer_->parameters()) {}

  Calibration run(std::int64_t steps) {
    const auto batches = step_batches(objective_, config_, 0);
    std::vector<double> seconds;
    Progress progress("plan", steps + warm_up_steps, "steps");
    for (std::int64_t i = 0; i < steps + warm_up_steps; ++i) {
      const auto took = seconds_of([&] { step(batches); });
      if (i >= warm_up_steps) seconds.push_back(took);
      progress.update(i + 1);
    }
    Calibration measured{.steps = steps, .step_seconds = median(seconds)};
    if (config_.observe.evaluation > 0) measured.evaluation_seconds = evaluate();
    // The copy that a checkpoint in the midst of the run is written from: the moment when it needs most.
    if (config_.checkpoint.every > 0 && config_.checkpoint.every < config_.train.steps) snapshot(*optimizer_, {});
    measured.peak_bytes = peak_resident_bytes();
    return measured;
  }

  Optimizer& optimizer() { return *optimizer_; }

 private:
  void step(const std::vector<Batch>& batches) {
    compute_gradients(model_, gradients_, objective_, batches);
    optimizer_->step_(gradients_, 0.0, clip_factor(config_.train.clip, optimizer_->gradient_norm(gradients_.squared_norms())));
  }

  /// Seconds of one full batch.
  double evaluate() {
    const at::NoGradGuard no_grad;
    const auto once = [&] {
      Measures measures;
      objective_.evaluate(model_, [] { return false; }, measures);
    };
    once();
    return std::min(seconds_of(once), seconds_of(once));
  }

  Model& model_;
  const RunConfig& config_;
  const Objective& objective_;
  std::unique_ptr<Optimizer> optimizer_;
  Gradients gradients_;
};

std::int64_t divided_up(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }

/// How often something that is due every so many steps, and once more at the end, comes about.
std::int64_t occasions(std::int64_t steps, std::int64_t every) { return every > 0 ? divided_up(steps, every) : 0; }

void count_occasions(RunPlan& plan, const RunConfig& config, std::int64_t validation_rows) {
  const auto& t = config.train;
  plan.checkpoints_kept = config.checkpoint.keep;
  plan.checkpoints_written = std::max<std::int64_t>(1, occasions(t.steps, config.checkpoint.every));
  plan.archived = parse_archive_schedule(config.checkpoint.archive).count(t.steps);
  if (config.observe.evaluation == 0 || validation_rows == 0) return;
  plan.evaluations = occasions(t.steps, config.observe.evaluation);
  const auto rows = config.eval.max_windows > 0 ? std::min(validation_rows, config.eval.max_windows) : validation_rows;
  plan.evaluation_batches = divided_up(rows, config.eval.batch_size);
}

std::map<std::string, std::string> settings_of(RunConfig config) {
  std::map<std::string, std::string> settings;
  for (const auto& [name, value] : config.schema().settings()) settings[name] = value;
  return settings;
}

/// The numbers of a plan.json, none of them below 0 (`least`): what is computed from them is printed.
class PlanReader {
 public:
  PlanReader(JsonReader reader, std::string file) : reader_(std::move(reader)), file_(std::move(file)) {}
  std::int64_t integer(std::string_view key, std::int64_t least = 0) const {
    const auto value = reader_.get_int(key);
    if (value < least || value > std::int64_t{1} << 60) refuse(key, static_cast<double>(value));
    return value;
  }
  double number(std::string_view key, double least = 0) const {
    const auto value = reader_.get_number(key);
    if (!(value >= least && value <= 1e18)) refuse(key, value);
    return value;
  }
  PlanReader object(std::string_view key) const { return {reader_.get_object(key), file_}; }
  const JsonReader& json() const { return reader_; }

 private:
  [[noreturn]] void refuse(std::string_view key, double value) const {
    throw InputError(where, "{}: {} = {} is out of range", file_, key, value);
  }
  JsonReader reader_;
  std::string file_;
};

}  // namespace

TokenFlops flops_per_token(const Model& model, std::int64_t context, double head_share) {
  const auto& shape = model.shape();
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  const auto seen = shape.causal ? number(context + 1) : 2 * number(context);  // twice the tokens that a token sees on average
  return {.matrices = 6 * number(model.parameters().count(ParameterClass::matrix) + shape.repeated_weights),
          .head = model.has_head() ? 6 * head_share * number(model.head().weight().numel()) : 0,
          .attention = 6 * number(shape.layers * shape.heads * shape.head_dim) * seen,
          .recurrence = 3 * number(shape.layers * shape.recurrence_flops)};
}

double RunPlan::tokens_per_second() const { return calibration ? static_cast<double>(tokens_per_step) / calibration->step_seconds : 0; }

double RunPlan::training_seconds() const {
  const auto all = calibration ? static_cast<double>(steps) * calibration->step_seconds : 0;
  return max_seconds > 0 ? std::min(all, max_seconds) : all;
}

double RunPlan::evaluation_seconds() const {
  return calibration ? static_cast<double>(evaluations * evaluation_batches) * calibration->evaluation_seconds : 0;
}

RunPlan plan_run(const RunConfig& given, std::int64_t calibration_steps) {
  auto config = given;
  config.resolve();
  if (config.train.threads > 0) at::set_num_threads(static_cast<int>(config.train.threads));
  retain_tensor_memory();
  const auto model = starting_model(config, nullptr);
  const auto& t = config.train;
  const auto objective = make_objective({*model, config, /*tokenizer=*/nullptr});
  const auto data = objective->data_size();
  RunPlan plan{.parameter_count = model->parameters().count(),
               .steps = t.steps,
               .tokens_per_step = t.batch_size * t.context,
               .training_tokens = data.tokens,
               .validation_tokens = data.validation_tokens,
               .flops = flops_per_token(*model, t.context, objective->head_share()),
               .max_seconds = 60 * t.max_minutes,
               .settings = settings_of(config)};
  const auto architectures = model->config().value("architectures", std::vector<std::string>{""});
  plan.family = model->config().value("model_type", architectures.empty() ? "" : architectures.front());
  for (const auto kind :
       {ParameterClass::matrix, ParameterClass::embedding, ParameterClass::head, ParameterClass::vector, ParameterClass::multiplier})
    if (const auto count = model->parameters().count(kind); count > 0) plan.parameters[std::string(class_name(kind))] = count;
  count_occasions(plan, config, data.validation_rows);
  Calibrator calibrator(*model, config, *objective);
  plan.weight_bytes = plan.parameter_count * (t.precision == "bf16" ? 6 : 4);
  std::int64_t trained = 0, stored = 0;  // numbers; a checkpoint has the merged weights, and apart from them what they are merged from
  for (const auto& parameter : model->parameters().all()) {
    const auto count = parameter.value.numel();
    trained += parameter.trains ? count : 0;
    stored += parameter.slot && parameter.slot->has_additions() ? 2 * count : count;
  }
  plan.gradient_bytes = trained * 4;
  plan.rules = calibrator.optimizer().shares();
  plan.optimizer_bytes = calibrator.optimizer().state_bytes();
  plan.matrix_state_bytes = calibrator.optimizer().matrix_state_bytes();
  plan.checkpoint_bytes = stored * 4 + plan.optimizer_bytes;
  if (calibration_steps > 0) plan.calibration = calibrator.run(calibration_steps);
  return plan;
}

nlohmann::json to_json(const RunPlan& plan) {
  const auto& f = plan.flops;
  const nlohmann::json flops{{"matrices", f.matrices}, {"head", f.head}, {"attention", f.attention}, {"recurrence", f.recurrence}};
  nlohmann::json json{{"format", plan_format},
                      {"family", plan.family},
                      {"parameters", plan.parameters},
                      {"parameter_count", plan.parameter_count},
                      {"steps", plan.steps},
                      {"tokens_per_step", plan.tokens_per_step},
                      {"training_tokens", plan.training_tokens},
                      {"validation_tokens", plan.validation_tokens},
                      {"flops_per_token", flops},
                      {"weight_bytes", plan.weight_bytes},
                      {"gradient_bytes", plan.gradient_bytes},
                      {"optimizer_bytes", plan.optimizer_bytes},
                      {"matrix_state_bytes", plan.matrix_state_bytes},
                      {"checkpoint_bytes", plan.checkpoint_bytes},
                      {"checkpoints_kept", plan.checkpoints_kept},
                      {"checkpoints_written", plan.checkpoints_written},
                      {"archived", plan.archived},
                      {"rules", to_json(plan.rules)},
                      {"evaluations", plan.evaluations},
                      {"evaluation_batches", plan.evaluation_batches},
                      {"max_seconds", plan.max_seconds},
                      {"calibration", nullptr},
                      {"settings", plan.settings}};
  if (const auto& c = plan.calibration)
    json["calibration"] = {{"steps", c->steps},
                           {"step_seconds", c->step_seconds},
                           {"evaluation_seconds", c->evaluation_seconds},
                           {"peak_bytes", c->peak_bytes}};
  return json;
}

RunPlan read_plan(const fs::path& file) {
  const auto json = read_json(file, std::string(where));
  const PlanReader reader({json, std::string(where), file.string()}, file.string());
  if (const auto format = reader.integer("format"); format != plan_format)
    throw InputError(where, "{}: format {}, this program reads {}", file.string(), format, plan_format);
  RunPlan plan{.family = reader.json().get_string("family"),
               .parameter_count = reader.integer("parameter_count"),
               .steps = reader.integer("steps", 1),
               .tokens_per_step = reader.integer("tokens_per_step", 1),
               .training_tokens = reader.integer("training_tokens"),
               .validation_tokens = reader.integer("validation_tokens"),
               .weight_bytes = reader.integer("weight_bytes"),
               .gradient_bytes = reader.integer("gradient_bytes"),
               .optimizer_bytes = reader.integer("optimizer_bytes"),
               .checkpoint_bytes = reader.integer("checkpoint_bytes"),
               .checkpoints_kept = reader.integer("checkpoints_kept"),
               .checkpoints_written = reader.integer("checkpoints_written"),
               .evaluations = reader.integer("evaluations"),
               .evaluation_batches = reader.integer("evaluation_batches"),
               .max_seconds = reader.number("max_seconds")};
  const auto parameters = reader.object("parameters"), settings = reader.object("settings"), flops = reader.object("flops_per_token");
  for (const auto& [kind, count] : parameters.json().object().items()) plan.parameters[kind] = parameters.integer(kind);
  for (const auto& [key, value] : settings.json().object().items()) plan.settings[key] = settings.json().get_string(key);
  if (reader.json().has("matrix_state_bytes")) plan.matrix_state_bytes = reader.integer("matrix_state_bytes");
  if (reader.json().has("archived")) plan.archived = reader.integer("archived");  // not written by the first plans, as the rules
  if (reader.json().has("rules")) plan.rules = rule_shares(json.at("rules"), file.string());
  plan.flops = {flops.number("matrices"), flops.number("head"), flops.number("attention"),
                flops.json().has("recurrence") ? flops.number("recurrence") : 0};  // not written by the first plans
  if (reader.json().has("calibration")) {
    const auto c = reader.object("calibration");
    constexpr double least = 1e-9;  // a step that takes no time has no speed
    plan.calibration = {c.integer("steps", 1), c.number("step_seconds", least), c.number("evaluation_seconds"), c.integer("peak_bytes", 1)};
  }
  return plan;
}

RunMeasure measure_run(const fs::path& run) {
  RunMeasure measure;
  std::vector<double> speeds;
  for (const auto& record : read_run_log(run).records) {
    const auto type = record.at("type").get<std::string>();
    const auto number = [&](const char* key) { return record.contains(key) ? number_of(record[key]) : 0.0; };
    if (type == "end") {
      measure.ended = record.contains("reason") && record["reason"].is_string() ? record["reason"].get<std::string>() : "unknown";
      measure.peak_bytes = std::max(measure.peak_bytes, static_cast<std::int64_t>(number("peak_memory_bytes")));
    } else if (type == "resume") {
      measure.ended.clear();
    }
    if (type != "step") continue;
    measure.steps = record.value("step", std::int64_t{0});
    measure.tokens = static_cast<std::int64_t>(number("tokens"));
    measure.seconds = number("seconds");
    measure.peak_bytes = std::max(measure.peak_bytes, static_cast<std::int64_t>(number("memory_bytes")));
    if (measure.steps > warm_up_steps) speeds.push_back(number("tokens_per_second"));
  }
  measure.tokens_per_second = median(std::move(speeds));
  return measure;
}

}  // namespace isotrope

#include "isotrope/geometry/spectrum.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <ranges>
#include <set>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/base/stop.h"
#include "isotrope/base/temporary_folder.h"
#include "isotrope/data/pack.h"
#include "isotrope/data/token_file.h"
#include "isotrope/io/gguf.h"
#include "isotrope/io/model_path.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/observe/matrix_choice.h"
#include "isotrope/report/report.h"
#include "isotrope/runlog/records.h"
#include "isotrope/runlog/run_log.h"
#include "isotrope/train/objective.h"

namespace isotrope::app {

namespace {

using Clock = std::chrono::steady_clock;

/// A model's weights at one moment: a model by itself, or a checkpoint of a run.
struct Subject {
  std::string model;  ///< as it was named
  fs::path folder;
  std::optional<std::uint64_t> step;  ///< of a run's checkpoints
};

struct Finding {
  std::string model, name, of;
  std::optional<std::uint64_t> step;
  std::int64_t rows, columns;
  SingularValues spectrum;
  Spike spike;
};

struct Absence {
  std::string model, of, why;
  std::optional<std::uint64_t> step;
};

std::string at_step(const std::optional<std::uint64_t>& step) { return step ? fmt::format(" at step {}", *step) : ""; }

/// `every:N` or a list of steps, as a question about one.
std::function<bool(std::uint64_t)> step_filter(const std::string& text) {
  if (text.empty()) return [](std::uint64_t) { return true; };
  const auto number = [&](std::string_view part) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size())
      throw UsageError("spectrum", "--checkpoints: expected every:N or steps separated by commas, got \"{}\"", text);
    return value;
  };
  if (text.starts_with("every:")) {
    const auto every = number(std::string_view(text).substr(6));
    if (every == 0) throw UsageError("spectrum", "--checkpoints: every:0 names no step");
    return [every](std::uint64_t step) { return step % every == 0; };
  }
  std::set<std::uint64_t> steps;
  for (const auto part : std::views::split(text, ',')) steps.insert(number(std::string_view(part.begin(), part.end())));
  return [steps](std::uint64_t step) { return steps.contains(step); };
}

/// The checkpoints of a run with its archived weights, by step; or the model itself.
std::vector<Subject> subjects_of(const std::string& model, const std::string& checkpoints) {
  const fs::path folder(model);
  if (!fs::exists(folder / "run.jsonl")) {
    if (!checkpoints.empty()) throw UsageError("spectrum", "--checkpoints: {} is no run", model);
    return {{model, resolve_model(model), std::nullopt}};
  }
  std::map<std::uint64_t, fs::path> steps;
  for (const auto& [step, path] : step_folders(folder / "archive")) steps[step] = path;
  for (const auto& [step, path] : all_checkpoints(folder)) steps[step] = path;  // has the optimizer's state besides
  const auto wanted = step_filter(checkpoints);
  std::vector<Subject> subjects;
  for (const auto& [step, path] : steps)
    if (wanted(step)) subjects.push_back({model, path, step});
  if (!checkpoints.starts_with("every:"))
    for (const auto part : std::views::split(checkpoints, ','))
      if (const auto step = std::string(part.begin(), part.end()); !step.empty() && !steps.contains(std::stoull(step)) && !subjects.empty())
        warn(fmt::format("[spectrum] {}: no checkpoint of step {}", model, step));
  if (steps.empty()) throw InputError("spectrum", "{}: the run has no checkpoint yet", model);
  if (subjects.empty()) {
    std::string there;
    for (const auto& [step, path] : steps) there += fmt::format("{}{}", there.empty() ? "" : ", ", step);
    throw with_hint(UsageError("spectrum", "--checkpoints {}: {} has none of them", checkpoints, model), "it has " + there);
  }
  return subjects;
}

/// How a file's matrices are stored, when that is in blocks of few bits.
std::string stored_packing(const fs::path& folder) {
  const auto file = single_file_model(folder);
  if (!file || file->extension() != ".gguf") return "";
  std::map<std::string, std::uint64_t> bytes;
  const GgufFile gguf(*file);
  for (const auto& tensor : gguf.tensors())
    if (tensor.shape.size() == 2) bytes[std::string(packing_name(tensor.packing))] += tensor.bytes.size();
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most == bytes.end() || most->first.starts_with("F") || most->first.starts_with("BF") ? "" : most->first;
}

/// Gradients of the model's own objective on a text.
class DataGradients {
 public:
  DataGradients(const SpectrumCommand& options, const Tokenizer& tokenizer, const StopRequest& stop)
      : options_(options), tokenizer_(tokenizer) {
    file_ = options.data;
    if (is_token_file(file_)) return;
    PackOptions packing;
    packing.inputs = {file_}, packing.output = packed_.path() / "data", packing.threads = thread_count(options.common);
    packing.stop_requested = [&stop] { return stop.requested(); };
    pack(tokenizer, packing);
    file_ = packed_.path() / "data" / "train.tokens";
  }

  /// Says what the loss was.
  StepOutcome compute(const Model& model, ReadGradients& gradients) const {
    RunConfig config;
    const auto room = model.shape().max_positions;
    config.train.context = options_.context > 0 ? options_.context : std::min<std::int64_t>(256, room);
    if (config.train.context > room) throw UsageError("spectrum", "--context {}: the model reads {} tokens", config.train.context, room);
    config.train.seed = static_cast<std::int64_t>(options_.compute.seed);
    config.data.train = file_.string();
    const auto objective = make_objective({model, config, &tokenizer_});
    std::vector<Batch> batches;
    for (std::int64_t i = 0; i < options_.batches; ++i)
      batches.push_back(objective->batch(static_cast<std::uint64_t>(i * options_.batch_size), options_.batch_size));
    return gradients.compute(*objective, batches);
  }

 private:
  const SpectrumCommand& options_;
  const Tokenizer& tokenizer_;
  TemporaryFolder packed_;
  fs::path file_;  // of tokens
};

class Spectrometer {
 public:
  explicit Spectrometer(const SpectrumCommand& options) : options_(options) {}

  void look(const Subject& subject, const std::vector<std::string>& kinds) {
    auto compute = options_.compute;
    if (compute.dtype.empty()) compute.dtype = "float32";
    auto loaded = load(subject.folder.string(), compute, options_.common);
    auto& model = *loaded.model;
    if (const auto packing = stored_packing(subject.folder); !packing.empty()) packings_[subject.model] = packing;
    const auto chosen = chosen_matrices(model.parameters(), options_.matrices, "--matrices");
    for (const auto& kind : kinds) {
      if (kind == "weight") {
        for (const auto* p : chosen) add(*p, p->value.detach());
      } else if (kind == "gradient") look_at_gradients(subject, loaded, chosen);
      else if (kind == "update")
        leave_out(subject, kind, "a checkpoint does not hold the step before it; observe.spectra writes updates while a run trains");
      else look_at_state(subject, loaded, kind, chosen);
      find(subject, kind);
    }
  }

  const std::vector<Finding>& findings() const { return findings_; }
  const std::vector<Absence>& absences() const { return absences_; }
  const std::map<std::string, std::string>& packings() const { return packings_; }
  StopRequest stop;

 private:
  void leave_out(const Subject& subject, const std::string& kind, const std::string& why) {
    absences_.push_back({subject.model, kind, why, subject.step});
  }

  void add(const Parameter& parameter, const at::Tensor& stored) {
    for (const auto& [name, view] : named_matrices(parameter.name, stored, parameter.form))
      pending_.push_back({name, view.flatten(0, 1), options_.top});
  }

  /// The singular values of what was added.
  void find(const Subject& subject, const std::string& kind) {
    for (const auto& [name, matrix, top] : pending_) {
      if (stop.requested()) throw Interrupted("spectrum", "stopped; nothing was written");
      const SpectrumInput one[] = {{fmt::format("{}: the {} of {}{}", subject.model, kind, name, at_step(subject.step)), matrix, top}};
      auto spectrum = std::move(singular_values(one).front());
      const auto spike = spike_of(spectrum);
      findings_.push_back({subject.model, name, kind, subject.step, matrix.size(0), matrix.size(1), std::move(spectrum), spike});
      progress_.update(static_cast<std::int64_t>(findings_.size()), name);
    }
    pending_.clear();
  }

  void look_at_gradients(const Subject& subject, LoadedModel& loaded, const std::vector<const Parameter*>& chosen) {
    auto& model = *loaded.model;
    if (!model.has_head())
      return leave_out(subject, "gradient", "the folder holds no language-modelling head, so there is no loss to take the gradient of");
    if (!data_ || data_model_ != subject.model) {  // another model has another tokenizer
      data_.reset();
      data_model_ = subject.model, tokenizer_ = loaded.tokenizer;
      data_.emplace(options_, *tokenizer_, stop);
    }
    ReadGradients gradients(model);
    const auto outcome = data_->compute(model, gradients);
    note(fmt::format("{}{}: loss {:.4f} on {} tokens", subject.model, at_step(subject.step), outcome.loss, outcome.tokens));
    for (const auto* p : chosen) add(*p, gradients.of(p->name).clone());
  }

  void look_at_state(const Subject& subject, const LoadedModel& loaded, const std::string& kind,
                     const std::vector<const Parameter*>& chosen) {
    if (!loaded.optimizer) return leave_out(subject, kind, "no optimizer state is kept there");
    std::size_t found = 0;
    for (const auto* p : chosen)
      if (const auto state = loaded.optimizer_state(kind, p->name); state.defined()) add(*p, state.clone()), ++found;
    if (found < chosen.size())
      leave_out(subject, kind,
                fmt::format("{} of {} matrices have none: their update rule keeps no such state", chosen.size() - found, chosen.size()));
  }

  const SpectrumCommand& options_;
  std::vector<SpectrumInput> pending_;  ///< matrices of one kind
  std::vector<Finding> findings_;
  std::vector<Absence> absences_;
  std::map<std::string, std::string> packings_;
  std::string data_model_;  ///< whose tokenizer has read the data
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<DataGradients> data_;
  Progress progress_{"spectrum", 0, "matrices"};
};

/// What to look at where the command line does not say.
std::vector<std::string> kinds_of(const SpectrumCommand& options, bool run) {
  if (!options.of.empty()) {
    if (options.data.empty() && std::ranges::find(options.of, "gradient") != options.of.end())
      throw UsageError("spectrum", "--of gradient needs --data: a gradient is that of a loss on some text");
    return options.of;
  }
  std::vector<std::string> kinds;
  if (!options.data.empty()) kinds.push_back("gradient");
  if (run) kinds.insert(kinds.end(), {"momentum", "second_moment"});
  kinds.push_back("weight");
  return kinds;
}

/// NaN is written as null.
nlohmann::json to_json(const Spectrometer& found, double seconds) {
  auto matrices = nlohmann::json::array(), absent = nlohmann::json::array();
  const auto step = [](const auto& x) { return x.step ? nlohmann::json(*x.step) : nlohmann::json(nullptr); };
  for (const auto& f : found.findings())
    matrices.push_back({{"model", f.model},
                        {"name", f.name},
                        {"shape", {f.rows, f.columns}},
                        {"of", f.of},
                        {"step", step(f)},
                        {"singular_values", f.spectrum.values},
                        {"truncated", f.spectrum.truncated},
                        {"spike_rank", f.spike.rank},
                        {"spike_energy", f.spike.energy},
                        {"spike_gap", f.spike.gap},
                        {"largest_gap", largest_gap(f.spectrum)}});
  for (const auto& a : found.absences()) absent.push_back({{"model", a.model}, {"of", a.of}, {"step", step(a)}, {"why", a.why}});
  return {{"matrices", matrices}, {"absent", absent}, {"packed", found.packings()}, {"seconds", seconds}};
}

std::string number_text(double value) { return std::isfinite(value) ? fmt::format("{:.4g}", value) : "–"; }

void print_table(const Spectrometer& found, bool several) {
  std::size_t widest = 6;
  for (const auto& f : found.findings()) widest = std::max(widest, f.name.size());
  std::puts(fmt::format("{:<{}}  {:<13}  {:>11}  {:>8}  {:>10}  {:>8}  {:>12}  {:>9}", "matrix", widest, "of", "shape", "step", "largest",
                        "spike (k)", "energy", "gap")
                .c_str());
  std::string model;
  for (const auto& f : found.findings()) {
    if (several && f.model != model) std::puts((model = f.model).c_str());
    std::puts(fmt::format("{:<{}}  {:<13}  {:>11}  {:>8}  {:>10}  {:>9}  {:>11}  {:>9}", f.name, widest, f.of,
                          fmt::format("{} × {}", f.rows, f.columns), f.step ? std::to_string(*f.step) : "–",
                          f.spectrum.values.empty() ? "–" : number_text(f.spectrum.values.front()), f.spike.rank,
                          std::isfinite(f.spike.energy) ? fmt::format("{:.2f}%", 100 * f.spike.energy) : "–", number_text(f.spike.gap))
                  .c_str());
  }
}

void write_csv(const std::string& path, const Spectrometer& found) {
  std::string text = "model,name,of,step,index,singular_value\n";
  const auto quoted = [](const std::string& word) {
    if (word.find_first_of(",\"\n") == word.npos) return word;
    std::string out = "\"";
    for (const char c : word) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + '"';
  };
  for (const auto& f : found.findings())
    for (std::size_t i = 0; i < f.spectrum.values.size(); ++i)
      text += fmt::format("{},{},{},{},{},{}\n", quoted(f.model), quoted(f.name), f.of, f.step ? std::to_string(*f.step) : "", i + 1,
                          f.spectrum.values[i]);
  write_file(path, text, "spectrum");
  note("wrote " + path);
}

/// The page of runs, each of which holds what was found of one model.
void write_page(const std::string& path, const Spectrometer& found) {
  const TemporaryFolder pages;
  std::map<std::string, fs::path> folders;
  std::map<std::string, std::vector<const Finding*>> by_model;
  for (const auto& f : found.findings()) by_model[f.model].push_back(&f);
  std::vector<fs::path> runs;
  for (const auto& [model, findings] : by_model) {
    auto name = fs::path(model).lexically_normal();
    if (!name.has_filename()) name = name.parent_path();
    const auto folder = pages.path() / std::to_string(runs.size()) / name.filename();
    create_folders(folder, "spectrum");
    auto log = RunLog::open(folder);
    std::map<std::uint64_t, std::map<std::string, std::map<std::string, double>>> tables;  // by step and name
    for (const auto* f : findings) {
      const auto step = f->step.value_or(0);
      log.append(spectrum_record(static_cast<std::int64_t>(step), f->of, f->name, f->spectrum.values));
      tables[step]["spike_energy." + f->of][f->name] = f->spike.energy;
      tables[step]["spike_gap." + f->of][f->name] = f->spike.gap;
    }
    for (const auto& [step, by_name] : tables)
      for (const auto& [table, rows] : by_name) log.append(table_record(static_cast<std::int64_t>(step), table, rows));
    if (const auto packing = found.packings().find(model); packing != found.packings().end())
      log.append({{"type", "warning"},
                  {"step", 0},
                  {"message", fmt::format("weights are stored as {}; these are the values that its blocks hold", packing->second)}});
    log.append({{"type", "end"}, {"step", tables.empty() ? 0 : tables.rbegin()->first}, {"reason", "done"}});
    runs.push_back(folder);
  }
  RunSet set(runs, false);
  while (set.refresh()) {}
  write_file(path, report_html(set), "spectrum");
  note("wrote " + path);
}

}  // namespace

void run_spectrum(const SpectrumCommand& options) {
  if (options.compute.keep_packed)
    throw with_hint(UsageError("spectrum", "--keep-packed: packed weights have no gradient and no singular values"),
                    "without it they are unpacked, to --dtype");
  const auto begun = Clock::now();
  std::vector<Subject> subjects;
  bool run = false;
  for (const auto& model : options.models) {
    const auto more = subjects_of(model, options.checkpoints);
    run = run || more.front().step;
    subjects.insert(subjects.end(), more.begin(), more.end());
  }
  const auto kinds = kinds_of(options, run);
  Spectrometer found(options);
  for (const auto& subject : subjects) found.look(subject, kinds);
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  if (found.findings().empty() && !options.common.json) warn("[spectrum] nothing of what was asked for is there");
  if (!options.csv.empty()) write_csv(options.csv, found);
  if (!options.page.empty() && !found.findings().empty()) write_page(options.page, found);
  if (options.common.json) return print_json(to_json(found, seconds));
  print_table(found, options.models.size() > 1);
  for (const auto& [model, packing] : found.packings())
    std::puts(fmt::format("{}: weights are stored as {}; these are the values that its blocks hold", model, packing).c_str());
  for (const auto& a : found.absences()) std::puts(fmt::format("left out: {} of {}{}: {}", a.of, a.model, at_step(a.step), a.why).c_str());
  std::puts(fmt::format("{} spectra in {}", found.findings().size(), duration_text(seconds)).c_str());
}

}  // namespace isotrope::app

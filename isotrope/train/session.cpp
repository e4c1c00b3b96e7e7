#include "isotrope/train/session.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/io/json.h"
#include "isotrope/io/model_path.h"
#include "isotrope/kernels/retained_memory.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/models/task_head.h"
#include "isotrope/nn/additions.h"

namespace isotrope {

namespace {

fs::path tokenizer_path(const RunConfig& config) {
  if (!config.data.tokenizer.empty()) return config.data.tokenizer;
  const auto beside = fs::path(config.data.train).parent_path();
  return beside.empty() ? fs::path(".") : beside;
}

void open_objective(Session& s) {
  const auto& model = *s.model;
  if (s.config.observe.samples > 0 && !(model.shape().causal && model.has_head()))
    throw UsageError("train", "observe.samples = {}: this model writes no text; 0 leaves samples out", s.config.observe.samples);
  if (s.config.data.validation.empty() && s.config.observe.evaluation > 0)
    warn("[train] data.validation is empty: the run is not evaluated");
  s.objective = make_objective({model, s.config, s.tokenizer.get()});
}

/// The architecture's config with the tokenizer's special ids where it leaves them open, so that the saved folder knows where texts end.
nlohmann::json completed(nlohmann::json config, const Tokenizer& tokenizer) {
  const auto fill = [&](const char* key, std::optional<TokenId> id) {
    if (!config.contains(key) || config[key].is_null()) config[key] = id ? nlohmann::json(*id) : nlohmann::json(nullptr);
  };
  fill("bos_token_id", tokenizer.bos());
  fill("eos_token_id", tokenizer.eos());
  fill("pad_token_id", tokenizer.pad());
  return config;
}

/// Dropouts that the model's config asks for and that are told not to act are named; and told to act, there must be one.
void check_dropouts(const Model& model, const std::string& name, bool act) {
  std::string found;
  for (const auto& [key, rate] : model.dropout_rates())
    if (rate > 0) found += fmt::format("{}{} = {}", found.empty() ? "" : ", ", key, rate);
  if (!found.empty() && !act) warn(fmt::format("[train] {}: without effect, as model.dropout = false: {}", name, found));
  if (found.empty() && act) throw UsageError("train", "model.dropout = true, but {} has no rate of dropout above 0", name);
}

void make_model(Session& s) {
  s.model = starting_model(s.config, s.tokenizer.get());
  check_dropouts(*s.model, s.config.model.init_from.empty() ? s.config.model.config : s.config.model.init_from, s.config.model.dropout);
  s.optimizer = make_optimizer(s.model->parameters(), s.config.train.precision == "bf16" ? at::kBFloat16 : at::kFloat, s.config.optimizer,
                               static_cast<std::uint64_t>(s.config.train.seed));
  s.gradients = std::make_unique<Gradients>(s.optimizer->parameters());
}

/// A resumed run with other settings is no longer the run that was interrupted: each difference is said.
void report_changes(Session& s) {
  RunConfig before;
  auto schema = before.schema();
  schema.read_file(s.folder / "config.toml");
  const auto old_settings = schema.settings(), new_settings = s.config.schema().settings();
  for (std::size_t i = 0; i < new_settings.size(); ++i)
    if (const auto& [key, value] = new_settings[i]; old_settings[i].second != value && key != "run.folder")
      warn(fmt::format("[train] resuming with {} = {} (it was {})", key, value, old_settings[i].second));
}

void restore(Session& s) {
  const auto checkpoint = newest_checkpoint(s.folder);
  if (fs::exists(s.folder / "config.toml")) report_changes(s);
  if (checkpoint) {
    s.state = load_checkpoint(*checkpoint, *s.optimizer);
    if (s.state.seed != static_cast<std::uint64_t>(s.config.train.seed) ||
        s.state.context != static_cast<std::uint64_t>(s.config.train.context))
      throw UsageError("train",
                       "{}: the run has train.seed = {} and train.context = {}; both decide the order of the data and cannot change",
                       s.folder.string(), s.state.seed, s.state.context);
    if (s.state.objective != s.objective->name())
      throw UsageError("train", "{}: the run is trained on {}; the objective decides the order of the data and cannot change to {}",
                       s.folder.string(), s.state.objective, s.objective->name());
    if (s.state.data != s.objective->data())
      throw InputError("train", "{}: the run was trained on other data ({}; now {})", s.folder.string(), s.state.data, s.objective->data());
  } else {
    note(fmt::format("{}: no checkpoint yet; starting at step 0", s.folder.string()));
  }
  remove_archives_after(s.folder, s.state.step);
}

/// What a killed process was writing: nobody else works here while we hold the lock.
void remove_leftovers(const fs::path& run) {
  for (const auto& folder : {run, run / "checkpoints", run / "archive"}) {
    std::error_code ignored;
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      const auto name = entry.path().filename().string();
      for (const auto* part : {".partial-", ".replaced-", ".removed-"})
        if (name.find(part) != std::string::npos) found.push_back(entry.path());
    }
    for (const auto& path : found) fs::remove_all(path, ignored);
  }
}

}  // namespace

at::Device device_from_option(const std::string& name) {
  std::optional<at::Device> device;
  try {
    device = at::Device(name);
  } catch (const c10::Error&) {
    throw UsageError("device", "{} is not a device (cpu, cuda, cuda:N, mps)", name);
  }
  const bool present = device->is_cpu() || (device->is_cuda() && at::hasCUDA()) || (device->is_mps() && at::hasMPS());
  if (!present) throw UsageError("device", "{} is not available here", name);
  return *device;
}

namespace {

void tell_token_texts(Model& model, const Tokenizer& tokenizer) {
  std::vector<std::string> texts;
  const auto known = std::min<std::int64_t>(static_cast<std::int64_t>(tokenizer.vocab_size()), model.shape().vocab_size);
  for (std::int64_t id = 0; id < known; ++id) texts.push_back(tokenizer.token_bytes(static_cast<TokenId>(id)));
  model.set_token_texts(texts);
}

/// Beside low-rank factors too: a head for labels has begun with random numbers.
void train_task_head(Model& model) {
  const auto& head = *model.task_head();
  for (auto& parameter : model.parameters().all())
    for (const auto& part : {head.dense.defined() ? head.dense.weight() : at::Tensor(), head.dense.bias, head.classifier.weight(),
                             head.classifier.bias, head.norm.gain, head.norm.bias})
      if (part.defined() && parameter.value.is_same(part)) parameter.trains = true;
}

}  // namespace

std::unique_ptr<Model> starting_model(const RunConfig& config, const Tokenizer* tokenizer) {
  const auto device = device_from_option(config.train.device);
  const bool fresh = config.model.init_from.empty();
  const auto& name = fresh ? config.model.config : config.model.init_from;
  std::unique_ptr<Model> model;
  if (fresh) {
    auto json = read_json(name, "model", {.python_floats = true});
    const JsonReader object(json, "model", name);  // refuses what is no object
    if (tokenizer) json = completed(std::move(json), *tokenizer);
    model = isotrope::make_model(json, {at::kFloat, device}, name);
    initialize_(model->parameters(), static_cast<std::uint64_t>(config.train.seed));
    if (model->reads_characters()) tell_token_texts(*model, tokenizer ? *tokenizer : *load_tokenizer(tokenizer_path(config)));
  } else {
    model = load_model(resolve_model(name), {.dtype = at::kFloat, .device = device});
    if (model->reads_characters() && tokenizer) tell_token_texts(*model, *tokenizer);  // which need not be the folder's
  }
  add_multipliers(model->parameters(), config.multipliers);
  add_lora(model->parameters(), config.lora, static_cast<std::uint64_t>(config.train.seed));
  if (model->task_head()) train_task_head(*model);
  const auto& shape = model->shape();
  if (tokenizer && static_cast<std::int64_t>(tokenizer->vocab_size()) > shape.vocab_size)
    throw InputError("train", "{}: the tokenizer {} has {} tokens, the model's vocab_size is {}", name, tokenizer_path(config).string(),
                     tokenizer->vocab_size(), shape.vocab_size);
  if (config.train.context > shape.max_positions)
    throw InputError("train", "{}: train.context = {} exceeds the model's {} positions", name, config.train.context, shape.max_positions);
  return model;
}

Session open_session(const RunConfig& config, bool resume) {
  Session s{.config = config, .folder = config.run.folder};
  if (config.train.threads > 0) at::set_num_threads(static_cast<int>(config.train.threads));
  const bool exists = fs::exists(s.folder / "run.jsonl");
  if (resume && !exists) throw InputError("train", "{}: holds no run to resume", s.folder.string());
  if (!resume && exists)
    throw with_hint(InputError("train", "{}: holds a run already", s.folder.string()),
                    "--resume goes on with it; --set run.folder=… starts another");
  if (!fs::exists(config.data.train)) throw InputError("train", "data.train = {}: there is no such file", config.data.train);
  s.tokenizer = load_tokenizer(tokenizer_path(config));
  retain_tensor_memory();
  make_model(s);
  open_objective(s);
  create_folders(s.folder, "train");
  s.lock = std::make_unique<FileLock>(s.folder / ".lock", "train");
  remove_leftovers(s.folder);
  s.state = {.seed = static_cast<std::uint64_t>(config.train.seed),
             .context = static_cast<std::uint64_t>(config.train.context),
             .objective = s.objective->name(),
             .data = s.objective->data()};
  if (resume) restore(s);
  write_file(s.folder / "config.toml", s.config.schema().to_toml(), "train");
  s.log = std::make_unique<RunLog>(RunLog::open(s.folder));
  if (resume) s.log->append({{"type", "resume"}, {"step", s.state.step}});
  return s;
}

}  // namespace isotrope

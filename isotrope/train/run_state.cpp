#include "isotrope/train/run_state.h"

#include <unistd.h>

#include <map>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/io/json.h"
#include "isotrope/io/model_path.h"
#include "isotrope/io/safetensors.h"
#include "isotrope/models/checkpoint.h"

namespace isotrope {

namespace {

constexpr std::int64_t state_format = 1;
constexpr const char* state_file = "train_state.json";
constexpr const char* optimizer_file = "optimizer.safetensors";
constexpr const char* optimizer_format = "isotrope-optimizer-1";
constexpr const char* masters_file = "masters.safetensors";
constexpr const char* masters_format = "isotrope-masters-1";

nlohmann::json to_json(const CheckpointContent& content) {
  const auto& s = content.state;
  return {{"format", state_format},
          {"step", s.step},
          {"position", s.position},
          {"tokens", s.tokens},
          {"skipped", s.skipped},
          {"skipped_in_row", s.skipped_in_row},
          {"seconds", s.seconds},
          {"seed", s.seed},
          {"context", s.context},
          {"objective", s.objective},
          {"data", s.data},
          {"optimizer", content.optimizer_name},
          {"optimizer_steps", content.optimizer_steps},
          {"observers", s.observers}};
}

/// Copies a stored tensor to where training has it.
void restore_tensor(const TensorFolder& stored, const std::string& name, const at::Tensor& value) {
  const at::NoGradGuard no_grad;
  const auto* view = stored.find(name);
  const auto file = stored.path().string();
  if (!view) throw InputError("checkpoint", "{}: tensor {} is missing", file, name);
  expect_shape("checkpoint", fmt::format("{}: tensor {}", file, view->name), value.sizes().vec(), view->shape);
  if (view->dtype != DType::f32)
    throw InputError("checkpoint", "{}: tensor {} is {}, a resume needs F32", file, view->name, dtype_name(view->dtype));
  value.copy_(tensor_of(*view));
}

/// A file of training's own: every stored tensor has its place, and every place its tensor. `nowhere` and `hint` speak of one that has none.
void restore_tensors(const fs::path& file, const char* format, std::span<const NamedTensor> places, const char* nowhere, const char* hint) {
  const TensorFolder saved(file);
  const auto written = saved.metadata().find("format");
  if (written == saved.metadata().end() || written->second != format)
    throw InputError("checkpoint", "{}: format {}, expected {}", saved.path().string(),
                     written == saved.metadata().end() ? "unknown" : written->second, format);
  std::set<std::string> expected;
  for (const auto& [name, value] : places) expected.insert(name);
  for (const auto& view : saved.tensors())
    if (!expected.contains(std::string(view.name)))
      throw with_hint(InputError("checkpoint", "{}: tensor {} belongs to {}", saved.path().string(), view.name, nowhere), hint);
  for (const auto& [name, value] : places) restore_tensor(saved, name, value);
}

/// The weights; those that the folder has merged, from beside it.
void restore_weights(const fs::path& folder, const FlatParameters& parameters, const at::Tensor& master) {
  const TensorFolder weights(folder);
  std::vector<NamedTensor> merged;
  for (const auto& segment : parameters.segments()) {
    if (segment.merges) merged.push_back({segment.name, segment.in(master)});
    else restore_tensor(weights, segment.name, segment.in(master));
  }
  const auto file = folder / masters_file;
  const char* hint = "multipliers.* and lora.* decide which matrices have additions: they must be what they were";
  if (!merged.empty() || fs::exists(file)) {
    if (!fs::exists(file)) throw with_hint(InputError("checkpoint", "{}: is missing", file.string()), hint);
    restore_tensors(file, masters_format, merged, "no addition of this run", hint);
  }
}

}  // namespace

CheckpointContent checkpoint_content(const Optimizer& optimizer, const TrainState& state) {
  const at::NoGradGuard no_grad;
  CheckpointContent content{.master = optimizer.parameters().master().to(at::kCPU),
                            .optimizer_name = optimizer.name(),
                            .optimizer_steps = optimizer.steps(),
                            .state = state};
  for (const auto& [name, value] : optimizer.state()) content.optimizer.push_back({name, value.to(at::kCPU)});
  return content;
}

CheckpointContent snapshot(const Optimizer& optimizer, const TrainState& state) {
  const at::NoGradGuard no_grad;
  auto content = checkpoint_content(optimizer, state);
  if (!optimizer.parameters().master().device().is_cpu()) return content;  // that has copied it
  content.master = content.master.clone();
  std::map<const void*, at::Tensor> copies;  // of whole buffers, of which the tensors are parts
  for (auto& [name, value] : content.optimizer) {
    auto& copy = copies[value.storage().data()];
    if (!copy.defined()) copy = at::empty({0}, value.options()).set_(value.storage()).clone();
    value = copy.as_strided(value.sizes(), value.strides(), value.storage_offset());
  }
  return content;
}

namespace {

void write_tensors(const fs::path& file, std::span<const NamedTensor> tensors, const char* format) {
  std::vector<TensorView> views;
  for (const auto& [name, value] : tensors)
    views.push_back({name, DType::f32, value.sizes().vec(), {static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()}});
  write_safetensors(file, views, {{"format", format}});
}

/// What the saved weights hold as one: the matrices with additions, and these.
std::vector<NamedTensor> merged_masters(const FlatParameters& parameters, const at::Tensor& master) {
  std::vector<NamedTensor> all;
  for (const auto& segment : parameters.segments())
    if (segment.merges) all.push_back({segment.name, segment.in(master)});
  return all;
}

void write_weights(const fs::path& folder, const Model& model, const at::Tensor& master, const FlatParameters& parameters,
                   const Tokenizer& tokenizer) {
  save_model(model, folder, {.value = [&](const Parameter& p) { return parameters.segment(p.name).in(master); }});
  tokenizer.save(folder);
}

}  // namespace

void save_weights(const fs::path& folder, const Model& model, const at::Tensor& master, const FlatParameters& parameters,
                  const Tokenizer& tokenizer) {
  create_folders(folder.parent_path(), "archive");
  AtomicFolder atomic(folder, "archive");
  write_weights(atomic.path(), model, master, parameters, tokenizer);
  atomic.commit();
}

void save_checkpoint(const fs::path& folder, const Model& model, const FlatParameters& parameters, const CheckpointContent& content,
                     const Tokenizer& tokenizer) {
  create_folders(folder.parent_path(), "checkpoint");
  AtomicFolder atomic(folder, "checkpoint");
  write_weights(atomic.path(), model, content.master, parameters, tokenizer);
  write_tensors(atomic.path() / optimizer_file, content.optimizer, optimizer_format);
  if (const auto masters = merged_masters(parameters, content.master); !masters.empty())
    write_tensors(atomic.path() / masters_file, masters, masters_format);
  write_file(atomic.path() / state_file, to_json(content).dump(2) + "\n", "checkpoint");
  atomic.commit();
}

TrainState load_checkpoint(const fs::path& folder, Optimizer& optimizer) {
  const auto name = (folder / state_file).string();
  const auto json = read_json(folder / state_file, "checkpoint");
  const JsonReader reader(json, "checkpoint", name);
  if (reader.get_int("format") > state_format)
    throw InputError("checkpoint", "{}: format {} is newer than this program's {}", name, reader.get_int("format"), state_format);
  const auto count = [&](const char* key) {
    const auto value = reader.get_int(key);
    if (value < 0) throw InputError("checkpoint", "{}: \"{}\" is negative", name, key);
    return value;
  };
  TrainState state;
  state.step = count("step");
  state.position = static_cast<std::uint64_t>(count("position"));
  state.tokens = count("tokens");
  state.skipped = count("skipped");
  state.skipped_in_row = count("skipped_in_row");
  state.seconds = reader.get_number("seconds");
  state.seed = static_cast<std::uint64_t>(count("seed"));
  state.context = static_cast<std::uint64_t>(count("context"));
  state.objective = reader.get_string("objective", "clm");  // older checkpoints are of decoders
  state.data = reader.get_string("data");
  if (reader.has("observers")) state.observers = reader.get_object("observers").object();
  if (const auto rule = reader.get_string("optimizer", "adamw"); rule != optimizer.name())
    throw with_hint(UsageError("train", "{}: was trained with optimizer.name = {}, whose state {} cannot go on from", folder.string(), rule,
                               optimizer.name()),
                    fmt::format("--set optimizer.name={} goes on; model.init_from takes the weights alone into a new run", rule));
  auto& parameters = optimizer.parameters();
  restore_weights(folder, parameters, parameters.master());
  restore_tensors(folder / optimizer_file, optimizer_format, optimizer.state(), "no update rule of this run",
                  "optimizer.adamw_matrices decides which rule serves a matrix: it must be what it was");
  optimizer.set_steps(count("optimizer_steps"));
  parameters.refresh_working();
  return state;
}

namespace {

/// Renamed first: a folder called step-N is complete, also when the removal is cut off. What cannot be removed is left for the next start.
void remove_folder(const fs::path& folder) {
  const auto aside = folder.parent_path() / ("." + folder.filename().string() + ".removed-" + std::to_string(::getpid()));
  std::error_code error;
  fs::rename(folder, aside, error);
  if (!error) fs::remove_all(aside, error);
  if (error) warn(fmt::format("[checkpoint] {}: cannot be removed: {}", folder.string(), error.message()));
}

}  // namespace

void remove_archives_after(const fs::path& run, std::int64_t step) {
  for (const auto& [number, folder] : step_folders(run / "archive"))
    if (number > static_cast<std::uint64_t>(step)) remove_folder(folder);
}

void rotate_checkpoints(const fs::path& run, std::int64_t keep) {
  if (keep <= 0) return;
  const auto checkpoints = all_checkpoints(run);
  for (std::size_t i = static_cast<std::size_t>(keep); i < checkpoints.size(); ++i) remove_folder(checkpoints[i].second);
}

}  // namespace isotrope

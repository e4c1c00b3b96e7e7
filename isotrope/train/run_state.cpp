#include "isotrope/train/run_state.h"

#include <unistd.h>

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

nlohmann::json to_json(const TrainState& s, std::int64_t optimizer_steps) {
  return {{"format", state_format},   {"step", s.step},       {"position", s.position},
          {"tokens", s.tokens},       {"skipped", s.skipped}, {"skipped_in_row", s.skipped_in_row},
          {"seconds", s.seconds},     {"seed", s.seed},       {"context", s.context},
          {"objective", s.objective}, {"data", s.data},       {"optimizer_steps", optimizer_steps}};
}

/// The views of every parameter's part of the optimizer's buffers: "exp_avg.NAME".
std::vector<TensorView> optimizer_views(const FlatParameters& parameters, const CheckpointContent& content) {
  std::vector<TensorView> views;
  for (const auto& [name, flat] : content.optimizer) {
    const auto* data = static_cast<const std::byte*>(flat.const_data_ptr());
    for (const auto& s : parameters.segments())
      views.push_back({name + "." + s.name, DType::f32, s.shape, {data + s.offset * 4, static_cast<std::size_t>(s.count) * 4}});
  }
  return views;
}

/// Copies the stored tensors `prefix + NAME` into the parts of a flat buffer.
void restore(const TensorFolder& stored, const std::string& prefix, const FlatParameters& parameters, const at::Tensor& flat) {
  const at::NoGradGuard no_grad;
  for (const auto& segment : parameters.segments()) {
    const auto* view = stored.find(prefix + segment.name);
    const auto file = stored.path().string();
    if (!view) throw InputError("checkpoint", "{}: tensor {}{} is missing", file, prefix, segment.name);
    expect_shape("checkpoint", fmt::format("{}: tensor {}", file, view->name), segment.shape, view->shape);
    if (view->dtype != DType::f32)
      throw InputError("checkpoint", "{}: tensor {} is {}, a resume needs F32 masters", file, view->name, dtype_name(view->dtype));
    FlatParameters::part(flat, segment).copy_(tensor_of(*view));
  }
}

}  // namespace

CheckpointContent checkpoint_content(FlatParameters& parameters, Optimizer& optimizer, const TrainState& state) {
  const at::NoGradGuard no_grad;
  CheckpointContent content{.master = parameters.master().to(at::kCPU), .optimizer_steps = optimizer.steps(), .state = state};
  for (const auto& [name, flat] : optimizer.state()) content.optimizer.emplace_back(name, flat.to(at::kCPU));
  return content;
}

CheckpointContent snapshot(FlatParameters& parameters, Optimizer& optimizer, const TrainState& state) {
  const at::NoGradGuard no_grad;
  auto content = checkpoint_content(parameters, optimizer, state);
  if (!parameters.master().device().is_cpu()) return content;  // that has copied it
  content.master = content.master.clone();
  for (auto& [name, flat] : content.optimizer) flat = flat.clone();
  return content;
}

void save_checkpoint(const fs::path& folder, const Model& model, const FlatParameters& parameters, const CheckpointContent& content,
                     const Tokenizer& tokenizer) {
  create_folders(folder.parent_path(), "checkpoint");
  AtomicFolder atomic(folder, "checkpoint");
  save_model(model, atomic.path(),
             {.value = [&](const Parameter& p) { return FlatParameters::part(content.master, parameters.segment(p.name)); }});
  tokenizer.save(atomic.path());
  write_safetensors(atomic.path() / optimizer_file, optimizer_views(parameters, content), {{"format", optimizer_format}});
  write_file(atomic.path() / state_file, to_json(content.state, content.optimizer_steps).dump(2) + "\n", "checkpoint");
  atomic.commit();
}

TrainState load_checkpoint(const fs::path& folder, FlatParameters& parameters, Optimizer& optimizer) {
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
  restore(TensorFolder(folder), "", parameters, parameters.master());
  const TensorFolder saved(folder / optimizer_file);
  const auto written = saved.metadata().find("format");
  if (written == saved.metadata().end() || written->second != optimizer_format)
    throw InputError("checkpoint", "{}: format {}, expected {}", saved.path().string(),
                     written == saved.metadata().end() ? "unknown" : written->second, optimizer_format);
  for (const auto& [buffer, flat] : optimizer.state()) restore(saved, buffer + ".", parameters, flat);
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

void rotate_checkpoints(const fs::path& run, std::int64_t keep) {
  if (keep <= 0) return;
  const auto checkpoints = all_checkpoints(run);
  for (std::size_t i = static_cast<std::size_t>(keep); i < checkpoints.size(); ++i) remove_folder(checkpoints[i].second);
}

}  // namespace isotrope

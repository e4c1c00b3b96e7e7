#include "isotrope/io/model_path.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string>

#include "isotrope/base/error.h"
#include "isotrope/io/hub_cache.h"

namespace isotrope {

namespace {

/// N of "step-N".
std::optional<std::uint64_t> step_of(const std::string& name) {
  constexpr std::string_view prefix = "step-";
  if (!name.starts_with(prefix)) return std::nullopt;
  std::uint64_t step = 0;
  const auto* end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data() + prefix.size(), end, step);
  if (error != std::errc{} || stopped != end) return std::nullopt;
  return step;
}

}  // namespace

std::vector<std::pair<std::uint64_t, fs::path>> step_folders(const fs::path& folder) {
  std::vector<std::pair<std::uint64_t, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (const auto step = step_of(entry.path().filename().string()); step && entry.is_directory()) found.emplace_back(*step, entry.path());
  std::ranges::sort(found, std::greater{});
  return found;
}

std::vector<std::pair<std::uint64_t, fs::path>> all_checkpoints(const fs::path& run) { return step_folders(run / "checkpoints"); }

std::optional<fs::path> newest_checkpoint(const fs::path& run) {
  const auto found = all_checkpoints(run);
  return found.empty() ? std::nullopt : std::optional(found.front().second);
}

std::optional<fs::path> single_file_model(const fs::path& path) {
  if (!fs::is_directory(path)) return path.extension() == ".gguf" || path.extension() == ".bin" ? std::optional(path) : std::nullopt;
  for (const auto* other : {"model.safetensors", "model.safetensors.index.json", "checkpoints"})
    if (fs::exists(path / other)) return std::nullopt;
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error))
    if (entry.path().extension() == ".gguf" && entry.is_regular_file()) found.push_back(entry.path());
  if (found.size() > 1) throw InputError("model", "{}: holds {} .gguf files, name the one that is meant", path.string(), found.size());
  return found.empty() ? std::nullopt : std::optional(found.front());
}

fs::path resolve_model(const fs::path& asked) {
  const auto model = path_or_snapshot(asked, "model");
  if (const auto file = single_file_model(model)) return *file;
  if (!fs::is_directory(model))
    throw InputError("model", "{}: is a file, expected a folder with config.json, a run folder, a .gguf file or a .bin of llama2.c",
                     model.string());
  if (model != asked) expect_whole_model(model, asked);
  if (fs::exists(model / "config.json")) return model;
  const auto checkpoint = newest_checkpoint(model);
  if (checkpoint && fs::exists(*checkpoint / "config.json")) return *checkpoint;
  if (checkpoint) throw InputError("model", "{}: the newest checkpoint has no config.json", checkpoint->string());
  if (fs::exists(model / "checkpoints"))
    throw InputError("model", "{}: this run has no checkpoint yet (checkpoints/step-N)", model.string());
  throw InputError("model", "{}: found neither config.json nor checkpoints/step-N nor a .gguf file", model.string());
}

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace isotrope {

namespace fs = std::filesystem;

/// The file that is a whole model: `path` where it is a .gguf file or a .bin of llama2.c, or the only .gguf file in a folder that holds
/// neither safetensors nor checkpoints/; nothing otherwise. Throws InputError when such a folder holds several.
std::optional<fs::path> single_file_model(const fs::path& path);

/// What MODEL means on the command line: a Hugging Face or checkpoint folder with config.json, a run folder's newest checkpoint, or the
/// file that single_file_model names; for what does not exist, the snapshot that the hub cache holds of the model of this name
/// (hub_cache.h). Throws InputError that says what was looked for.
fs::path resolve_model(const fs::path& asked);

/// Every step-N in this folder with its N, the newest (largest N) first. Other names, unfinished ones among them, are passed over.
std::vector<std::pair<std::uint64_t, fs::path>> step_folders(const fs::path& folder);

/// Every RUN/checkpoints/step-N with its N, the newest (largest N) first. Other names, unfinished ones among them, are passed over.
std::vector<std::pair<std::uint64_t, fs::path>> all_checkpoints(const fs::path& run);

/// RUN/checkpoints/step-N with the largest N (as a number), or nothing. Names that are not step-N, unfinished ones among them, are passed
/// over.
std::optional<fs::path> newest_checkpoint(const fs::path& run);

}  // namespace isotrope

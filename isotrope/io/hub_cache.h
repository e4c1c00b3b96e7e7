#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace isotrope {

namespace fs = std::filesystem;

/// A model's name on the Hugging Face hub as huggingface_hub 2.4 checks it (`name` or `org/name`), behind an @ a branch, a tag or a commit.
struct HubName {
  std::string name, revision = "main";

  static std::optional<HubName> parse(std::string_view text);  ///< nothing for what is no name
  std::string download_command() const;                        ///< `hf download NAME`, with --revision unless it is main
};

/// The folder where huggingface_hub keeps what it has downloaded: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub, else
/// XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub, with ~, ~user, $NAME and ${NAME} replaced. As there, a variable that is set
/// to nothing counts: as the current folder.
fs::path hub_cache();

/// `path` itself where it exists; else, where it is a name, the snapshot that the cache holds of this model. Nothing is ever downloaded.
/// Throws InputError for neither, for a ref that is no commit, and for a snapshot that is not there or whose small files (.json, .jinja,
/// .model, .txt) are links to nothing; the hint is the command that fetches the model.
fs::path path_or_snapshot(const fs::path& path, std::string_view where);

/// Throws InputError naming the folder of a snapshot and the first file that a model misses there: config.json or weights. `name` is what
/// path_or_snapshot() was given.
void expect_whole_model(const fs::path& snapshot, const fs::path& name);

}  // namespace isotrope

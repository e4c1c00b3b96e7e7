#include "isotrope/io/hub_cache.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"

namespace isotrope {

namespace {

// In ASCII, whatever the locale.
bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

/// Calls `keep` with what stands between the slashes; false as soon as it says so.
template <class Keep>
bool every_part(std::string_view text, Keep keep) {
  for (;;) {
    const auto slash = text.find('/');
    if (!keep(text.substr(0, slash))) return false;
    if (slash == text.npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool is_repository(std::string_view name) {
  return std::ranges::count(name, '/') <= 1 && name.find("--") == name.npos && name.find("..") == name.npos && !name.ends_with(".git") &&
         every_part(name, [](std::string_view part) {
           return !part.empty() && part.size() <= 96 && is_word(part.front()) && is_word(part.back()) &&
                  std::ranges::all_of(part, [](char c) { return is_word(c) || c == '-' || c == '.'; });
         });
}

/// Git's rules as far as a path is concerned: what passes them stays below the folder it is looked for in.
bool is_revision(std::string_view revision) {
  return revision.size() <= 255 && every_part(revision, [](std::string_view part) {
           return !part.empty() && part.front() != '.' &&
                  std::ranges::none_of(part, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f' || c == '\\'; });
         });
}

bool is_commit(std::string_view text) {
  return text.size() == 40 && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

/// Python's os.path.expanduser: ~ is HOME, else the home in the password file; ~user the one there. Unknown users stay as they are.
std::string expand_user(std::string path) {
  if (!path.starts_with('~')) return path;
  const auto end = std::min(path.find('/'), path.size());
  auto home = end == 1 ? variable("HOME") : std::nullopt;
  if (!home) {
    const auto* entry = end == 1 ? ::getpwuid(::getuid()) : ::getpwnam(path.substr(1, end - 1).c_str());
    if (!entry) return path;
    home = entry->pw_dir;
  }
  home->erase(home->find_last_not_of('/') + 1);
  auto expanded = *home + path.substr(end);
  return expanded.empty() ? "/" : expanded;
}

/// Python's os.path.expandvars: $NAME and ${NAME}, once; unknown ones stay as they are.
std::string expand_variables(std::string_view path) {
  std::string expanded;
  while (!path.empty()) {
    const auto dollar = path.find('$');
    expanded += path.substr(0, dollar);
    if (dollar == path.npos) break;
    path.remove_prefix(dollar);
    const bool braced = path.substr(1).starts_with('{');
    const auto end =
        braced ? path.find('}') + 1 : static_cast<std::size_t>(std::find_if_not(path.begin() + 1, path.end(), is_word) - path.begin());
    const auto whole = path.substr(0, std::max<std::size_t>(end, 1));  // a $ that begins nothing stands for itself
    const auto value = whole.size() < 2 ? std::nullopt : variable(std::string(braced ? whole.substr(2, end - 3) : whole.substr(1)));
    expanded += value ? std::string_view(*value) : whole;
    path.remove_prefix(whole.size());
  }
  return expanded;
}

std::string expand(const std::string& path) { return expand_variables(expand_user(path)); }

/// A link whose target is gone, or nothing at all.
std::string_view state_of(const fs::path& file) {
  std::error_code error;
  return fs::is_symlink(file, error) ? "a link to nothing" : "missing";
}

bool is_there(const fs::path& path) {
  std::error_code error;  // a name that is too long for a file is none
  return fs::exists(path, error);
}

InputError incomplete(std::string_view where, const fs::path& snapshot, const HubName& name, const std::string& file) {
  return with_hint(
      InputError(where, "{}: this snapshot of {} is not complete: {} is {}", snapshot.string(), name.name, file, state_of(snapshot / file)),
      name.download_command());
}

/// What refs/REVISION says, or the revision itself where it is a commit.
std::string commit_of(const HubName& name, const fs::path& folder, std::string_view where) {
  if (is_commit(name.revision)) return name.revision;
  const auto ref = folder / "refs" / name.revision;
  std::error_code error;
  if (!fs::is_regular_file(ref, error))
    throw with_hint(InputError(where, "{}: no such file or folder, and the hub cache holds no revision {} of this model ({})", name.name,
                               name.revision, folder.string()),
                    name.download_command());
  std::array<char, 41> text{};
  std::ifstream file(ref, std::ios::binary);
  file.read(text.data(), text.size());
  std::string commit(text.data(), static_cast<std::size_t>(file.gcount()));
  if (!is_commit(commit))  // what else it may say, a way out of the cache for one, is not followed
    throw with_hint(InputError(where, "{}: is no commit, expected 40 hexadecimal digits and nothing else", ref.string()),
                    name.download_command());
  return commit;
}

/// Whether a path that does not exist was meant as one all the same: a file's extension, or a folder that is there.
bool is_meant_as_path(const fs::path& path) {
  constexpr std::array extensions{".bin", ".gguf", ".json", ".model", ".npy", ".safetensors", ".tiktoken", ".tokens", ".txt"};
  return std::ranges::find(extensions, path.extension()) != extensions.end() || (path.has_parent_path() && is_there(path.parent_path()));
}

}  // namespace

std::optional<HubName> HubName::parse(std::string_view text) {
  const auto at = text.find('@');
  HubName parsed{.name = std::string(text.substr(0, at))};
  if (at != text.npos) parsed.revision = text.substr(at + 1);
  return is_repository(parsed.name) && is_revision(parsed.revision) ? std::optional(parsed) : std::nullopt;
}

std::string HubName::download_command() const {
  if (revision == "main") return "hf download " + name;
  return fmt::format("hf download {} --revision {}", name, revision);
}

fs::path hub_cache() {
  // Expanded as often as there: what a variable holds may begin with ~ itself.
  const auto caches = fs::path(variable("XDG_CACHE_HOME").value_or((fs::path(expand_user("~")) / ".cache").string()));
  const auto home = expand(variable("HF_HOME").value_or((caches / "huggingface").string()));
  const auto older = variable("HUGGINGFACE_HUB_CACHE").value_or((fs::path(home) / "hub").string());
  const auto cache = expand_user(expand(variable("HF_HUB_CACHE").value_or(older)));
  return cache.empty() ? "." : cache;
}

fs::path path_or_snapshot(const fs::path& path, std::string_view where) {
  if (is_there(path)) return path;
  const auto name = HubName::parse(path.string());
  if (!name) throw InputError(where, "{}: no such file or folder", path.string());
  const auto cache = hub_cache();
  auto folder_name = "models--" + name->name;
  if (const auto slash = folder_name.find('/'); slash != folder_name.npos) folder_name.replace(slash, 1, "--");
  const auto folder = cache / folder_name;
  if (!is_there(folder)) {
    if (is_meant_as_path(path)) throw InputError(where, "{}: no such file or folder", path.string());
    throw with_hint(
        InputError(where, "{}: no such file or folder, and no model of this name in the hub cache {}", path.string(), cache.string()),
        name->download_command());
  }
  auto snapshot = folder / "snapshots" / commit_of(*name, folder, where);
  if (!is_there(snapshot))
    throw with_hint(InputError(where, "{}: this snapshot of {} is not in the hub cache", snapshot.string(), name->name),
                    name->download_command());
  // A file that is not there may be one that the model does not have; one whose link leads nowhere would be passed over in silence.
  std::vector<std::string> broken;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(snapshot, error))
    for (const auto* extension : {".json", ".jinja", ".model", ".txt"})
      if (entry.path().extension() == extension && !is_there(entry.path())) broken.push_back(entry.path().filename().string());
  if (!broken.empty()) throw incomplete(where, snapshot, *name, *std::ranges::min_element(broken));
  return snapshot;
}

void expect_whole_model(const fs::path& snapshot, const fs::path& name) {
  const auto parsed = HubName::parse(name.string()).value();
  const auto expect = [&](const std::string& file) {
    if (!is_there(snapshot / file)) throw incomplete("model", snapshot, parsed, file);
  };
  expect("config.json");
  if (is_there(snapshot / "model.safetensors")) return;
  if (const auto index = snapshot / "model.safetensors.index.json"; is_there(index)) {
    const auto content = read_json(index, "model");
    const auto weights = JsonReader(content, "model", index.string()).get_object("weight_map");
    for (const auto& [tensor, file] : weights.object().items()) expect(weights.get_string(tensor));
    return;
  }
  for (const auto* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (is_there(snapshot / pickle)) return;  // TensorFolder says what to do
  expect("model.safetensors");
}

}  // namespace isotrope

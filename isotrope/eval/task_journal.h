#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tuple>

namespace isotrope {

namespace fs = std::filesystem;

/// What an evaluation has computed so far, a line an answer (docs/formats/task_results.md): it can be stopped, killed, and gone on with.
/// The first line says of which model and with which settings; an unfinished last line is cut off. One process at a time.
class TaskJournal {
 public:
  TaskJournal() = default;  ///< keeps nothing
  /// Opens or begins a journal. Throws InputError when `path` belongs to another evaluation (its first line is not `identity`), is no
  /// journal, or a line is broken.
  TaskJournal(const fs::path& path, const nlohmann::json& identity);

  /// A request is named by its task, the file that the task came from (SHA-256), its item, and which of the item's requests it is.
  struct Key {
    std::string task, file;
    std::int64_t item = 0, request = 0;
    auto operator<=>(const Key&) const = default;
  };
  const nlohmann::json* find(const Key& key) const;
  /// Appends the answer; flush() makes sure that it is in the file.
  void add(const Key& key, nlohmann::json answer);
  void flush();
  std::size_t size() const { return answers_.size(); }

 private:
  std::map<Key, nlohmann::json> answers_;
  std::ofstream file_;
  fs::path path_;
};

}  // namespace isotrope

#include "isotrope/eval/task_journal.h"

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/io/json.h"

namespace isotrope {

using nlohmann::json;

TaskJournal::TaskJournal(const fs::path& path, const json& identity) : path_(path) {
  std::size_t whole = 0;
  if (fs::exists(path)) {
    const auto text = read_file(path, "eval");
    std::size_t number = 0;
    for (auto end = text.find('\n'); end != std::string::npos; whole = end + 1, end = text.find('\n', whole)) {
      const auto line = parse_json(std::string_view(text).substr(whole, end - whole), "eval", path.string(), {.first_line = ++number});
      if (number == 1) {
        if (line == identity) continue;
        std::string differs = "its first line says nothing of an evaluation";
        for (const auto& [key, value] : identity.items())
          if (line.is_object() && line.contains(key) && line[key] != value)
            differs = fmt::format("{} is {}, and was {}", key, value.dump(), line[key].dump());
        throw with_hint(InputError("eval", "{}: the answers are of another evaluation: {}", path.string(), differs),
                        "give another folder with --output, or the settings that it began with");
      }
      const JsonReader fields(line, "eval", path.string());
      answers_[{fields.get_string("task"), fields.get_int("item"), fields.get_int("request")}] = line;
    }
    fs::resize_file(path, whole);
  }
  file_.open(path, std::ios::app | std::ios::binary);
  if (whole == 0) file_ << identity.dump() << '\n';
  flush();
}

const json* TaskJournal::find(const Key& key) const {
  const auto found = answers_.find(key);
  return found == answers_.end() ? nullptr : &found->second;
}

void TaskJournal::add(const Key& key, json answer) {
  if (path_.empty()) return;
  answer.update({{"task", key.task}, {"item", key.item}, {"request", key.request}});
  file_ << answer.dump() << '\n';
  answers_[key] = std::move(answer);
}

void TaskJournal::flush() {
  if (path_.empty()) return;
  file_.flush();
  if (!file_) throw WorkError("eval", "{}: cannot be written (disk full?)", path_.string());
}

}  // namespace isotrope

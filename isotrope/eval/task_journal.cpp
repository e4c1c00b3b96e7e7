#include "isotrope/eval/task_journal.h"

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/io/json.h"

namespace isotrope {

using nlohmann::json;

namespace {

/// The first thing in which two identities differ.
std::string difference(const json& before, const json& now) {
  const auto text = [](const json& value) { return value.dump().substr(0, 80); };
  for (const auto& [key, value] : now.items())
    if (!before.is_object() || !before.contains(key)) return fmt::format("its first line does not say {}", key);
    else if (before[key] != value) return fmt::format("{} is {}, and was {}", key, text(value), text(before[key]));
  return "its first line says more";
}

}  // namespace

TaskJournal::TaskJournal(const fs::path& path, const json& identity) : path_(path) {
  std::size_t whole = 0;
  if (fs::exists(path)) {
    const auto text = read_file(path, "eval", std::size_t{1} << 34);
    std::size_t number = 0;
    for (auto end = text.find('\n'); end != std::string::npos; whole = end + 1, end = text.find('\n', whole)) {
      const auto line = parse_json(std::string_view(text).substr(whole, end - whole), "eval", path.string(), {.first_line = ++number});
      if (number > 1) {
        const JsonReader fields(line, "eval", fmt::format("{}:{}", path.string(), number));
        answers_[{fields.get_string("task"), fields.get_string("file"), fields.get_int("item"), fields.get_int("request")}] = line;
      } else if (line != identity) {
        throw with_hint(InputError("eval", "{}: the answers are of another evaluation: {}", path.string(), difference(line, identity)),
                        "give another folder with --output, or the settings that it began with");
      }
    }
    if (number == 0 && !identity.dump().starts_with(text)) throw InputError("eval", "{}: this is no file of answers", path.string());
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
  answer.update({{"task", key.task}, {"file", key.file}, {"item", key.item}, {"request", key.request}});
  file_ << answer.dump() << '\n';
  answers_[key] = std::move(answer);
}

void TaskJournal::flush() {
  if (path_.empty()) return;
  file_.flush();
  if (!file_) throw WorkError("eval", "{}: cannot be written (disk full?)", path_.string());
}

}  // namespace isotrope

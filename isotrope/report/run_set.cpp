#include "isotrope/report/run_set.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <ranges>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"

namespace isotrope {

namespace {

constexpr std::string_view in_run_set = "watch";
constexpr std::size_t longest_config = std::size_t{1} << 20;
constexpr std::size_t most_runs = 1000;

/// Seconds since the log was last written to.
double silence(const fs::path& log) {
  struct stat status{};
  if (::stat(log.c_str(), &status) != 0) return 0;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec - status.st_mtim.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec - status.st_mtim.tv_nsec);
}

bool is_run(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "run.jsonl", ignored);
}

/// Run folders below `folder`, `depth` levels deep, by name; symbolic links are not followed.
void collect_runs(const fs::path& folder, int depth, std::vector<fs::path>& found) {
  if (is_run(folder)) {
    found.push_back(folder);
    return;
  }
  if (depth == 0) return;
  std::vector<fs::path> inside;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator(); entry.increment(error))
    if (std::error_code ignored; entry->is_directory(ignored) && !entry->is_symlink(ignored)) inside.push_back(entry->path());
  std::ranges::sort(inside);
  for (const auto& path : inside) collect_runs(path, depth - 1, found);
}

}  // namespace

FollowedRun::FollowedRun(fs::path folder) : folder_(std::move(folder)) {}

bool FollowedRun::refresh(std::size_t budget) {
  const auto records = curves_.records(), edition = this->edition();
  const auto problem = problem_;
  const bool was_missing = missing_;
  try {
    if (reader_ && reader_->superseded()) {
      missing_ = !is_run(folder_);
      if (missing_) return !was_missing;  // what has been read stays on the page
      reader_.reset();
    }
    if (!reader_) {
      missing_ = !is_run(folder_);
      if (missing_) return !was_missing;
      reader_ = std::make_unique<RunLogReader>(folder_);
      if (curves_.records() > 0) edition_ += curves_.edition() + 1;  // edition() must not fall
      curves_ = RunCurves();
    }
    const auto name = (folder_ / "run.jsonl").string();
    reader_->next_lines([&](std::string_view line, std::uint64_t number) { curves_.add_line(line, name, number); }, budget);
    problem_.clear();
  } catch (const InputError& error) {
    problem_ = error.message();
  }
  return curves_.records() != records || this->edition() != edition || problem_ != problem || missing_ != was_missing;
}

std::string FollowedRun::status() const {
  if (missing_) return "missing";
  if (curves_.records() == 0) return "empty";
  // The end of a session counts until a later one resumes the run.
  for (const auto& event : curves_.events() | std::views::reverse) {
    if (event["type"] == "resume") break;
    if (event["type"] == "end")
      return event.contains("reason") && event["reason"].is_string() ? event["reason"].get<std::string>() : "done";
  }
  // Ten times what a record has taken so far, and not less than half a minute, without a word.
  const double steps = static_cast<double>(std::max<std::size_t>(curves_.records(), 1));
  const double pace = curves_.position("seconds", curves_.last_step()) / steps;
  return silence(folder_ / "run.jsonl") > std::max(30.0, 10 * pace) ? "stalled" : "running";
}

std::string FollowedRun::config() const {
  std::error_code error;
  const auto home = fs::canonical(folder_, error);
  const auto file = fs::canonical(folder_ / "config.toml", error);
  if (error || file.parent_path() != home || !fs::is_regular_file(file, error)) return "";
  try {
    return read_file(file, in_run_set, longest_config);
  } catch (const InputError&) {
    return "";
  }
}

RunSet::RunSet(const std::vector<fs::path>& paths, bool may_be_empty) {
  for (const auto& given : paths) {
    const auto path = given.filename() == "run.jsonl" ? given.parent_path() : given;
    if (!fs::is_directory(path)) throw InputError(in_run_set, "{}: no such run folder", given.string());
    paths_.push_back(path.empty() ? fs::path(".") : path);
  }
  if (paths_.size() == 1) comparison_ = FollowedComparison(paths_.front());
  find_new();
  if (runs_.empty() && !may_be_empty) throw InputError(in_run_set, "{}: holds no run (a folder with run.jsonl)", paths.front().string());
}

bool RunSet::find_new() {
  const auto before = runs_.size();
  std::error_code error;
  std::set<fs::path> known;
  for (const auto& run : runs_) known.insert(fs::weakly_canonical(run->folder(), error));
  for (const auto& path : paths_) {
    std::vector<fs::path> found;
    collect_runs(path, 2, found);
    for (const auto& folder : found)
      if (runs_.size() < most_runs && known.insert(fs::weakly_canonical(folder, error)).second)
        runs_.push_back(std::make_unique<FollowedRun>(folder));
  }
  if (runs_.size() > before) name_all();
  return runs_.size() > before;
}

bool RunSet::refresh() {
  bool changed = comparison_.refresh();
  for (auto& run : runs_) changed |= run->refresh();
  return changed;
}

void RunSet::name_all() {
  std::vector<std::vector<std::string>> parts;
  for (const auto& run : runs_) {
    auto& mine = parts.emplace_back();
    std::error_code error;
    auto whole = fs::weakly_canonical(run->folder(), error);
    for (const auto& part : error ? run->folder() : whole)
      if (part != "/" && !part.empty()) mine.push_back(part.string());
  }
  const auto tail = [&](std::size_t run, std::size_t count) {
    std::string text;
    const auto& all = parts[run];
    for (std::size_t i = all.size() - std::min(count, all.size()); i < all.size(); ++i) text += (text.empty() ? "" : "/") + all[i];
    return text;
  };
  names_.clear();
  for (std::size_t run = 0; run < runs_.size(); ++run) {
    std::size_t count = !parts[run].empty() && parts[run].back() == "run" ? 2 : 1;
    const auto taken = [&] {
      for (std::size_t other = 0; other < runs_.size(); ++other)
        if (other != run && tail(other, count) == tail(run, count)) return true;
      return false;
    };
    while (count < parts[run].size() && taken()) ++count;
    names_.push_back(tail(run, count));
  }
}

}  // namespace isotrope

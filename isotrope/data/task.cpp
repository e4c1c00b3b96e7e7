#include "isotrope/data/task.h"

#include <algorithm>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/base/sha256.h"
#include "isotrope/data/documents.h"
#include "isotrope/data/task_records.h"
#include "isotrope/io/compressed.h"
#include "isotrope/io/json.h"
#include "isotrope/io/zip.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

constexpr std::size_t largest_file = std::size_t{1} << 31;

/// A file's text, decompressed.
std::string read_task_file(const fs::path& path) {
  const auto source = open_source(path, "task");
  std::string text, buffer(1 << 20, '\0');
  for (std::size_t count = buffer.size(); count == buffer.size();) {
    count = source->read(buffer);
    text.append(buffer, 0, count);
    if (text.size() > largest_file) throw InputError("task", "{}: more than {} bytes", path.string(), largest_file);
  }
  return text;
}

void expect_utf8(std::string_view text, const std::string& name) {
  if (const auto broken = check_utf8(text)) throw InputError("task", "{}: byte {} is not UTF-8", name, *broken);
}

std::string sha256_of(std::initializer_list<std::string_view> texts) {
  Sha256 hash;
  for (const auto text : texts) hash.add(text);
  return hash.hex();
}

std::string stem(const fs::path& path) { return without_compression(path).stem().string(); }

/// The shots of a task whose items are its own examples.
void add_shots(Task& task, const TaskOptions& options) {
  task.takes_shots = task.kind == TaskKind::generation;
  if (task.takes_shots) add_worked_examples(task, static_cast<std::size_t>(options.shots.value_or(usual_shots)));
}

/// The metric that config.json beside a request file names.
std::string headline_of(const fs::path& config) {
  const auto json = read_json(config, "task");
  const JsonReader fields(json, "task", config.string());
  if (!fields.has("task_config")) return "acc";
  const auto metric = fields.get_object("task_config").get_string("primary_metric", "acc_raw");
  return metric == "acc_per_char" ? "acc_norm" : metric == "acc_uncond" ? "acc_mutual_info" : "acc";
}

Task load_file(const fs::path& path, const std::string& name, const TaskOptions& options) {
  const auto text = read_task_file(path);
  const auto extension = without_compression(path).extension();
  Task task;
  if (extension == ".txt" || extension == ".text") {
    if (text.empty()) throw InputError("task", "{}: the file is empty", path.string());
    expect_utf8(text, path.string());
    task.kind = TaskKind::perplexity, task.headline = "word_perplexity";
    task.items.push_back({.place = path.string(), .choices = {}, .gold = 0, .prompt = {}, .answer = {}, .text = text});
  } else if (is_json_lines(path)) {
    task = read_task_records(text, path.string());
  } else {
    throw InputError("task", "{}: expected a .jsonl or .txt file (also with .gz, .xz, .zst)", path.string());
  }
  task.name = name;
  task.sha256 = sha256_of({text});
  add_shots(task, options);
  return task;
}

/// Minimal pairs, a file a paradigm (BLiMP).
std::vector<Task> load_pairs(const fs::path& path, const std::string& group) {
  std::vector<Task> tasks;
  const auto add = [&](const std::string& file, const std::string& text) {
    auto task = read_task_records(text, file);
    task.name = group + "_" + stem(file), task.group = group;
    task.sha256 = sha256_of({text});
    tasks.push_back(std::move(task));
  };
  // Archives that were made on a Mac hold a hidden companion of every file.
  const auto is_records = [](std::string_view name) {
    return name.ends_with(".jsonl") && !name.starts_with("__MACOSX/") && !name.substr(name.rfind('/') + 1).starts_with('.');
  };
  if (!fs::is_directory(path)) for_each_zip_entry(path, "task", is_records, add);
  else
    for (const auto& file : list_inputs({path}))
      if (is_json_lines(file)) add(file.string(), read_task_file(file));
  if (tasks.empty()) throw InputError("task", "{}: no .jsonl file in it", path.string());
  return tasks;
}

/// MMLU as published: val/SUBJECT_val.csv (or test/SUBJECT_test.csv), examples in dev/SUBJECT_dev.csv.
std::vector<Task> load_mmlu(const fs::path& folder, const TaskOptions& options) {
  const std::string split = fs::is_directory(folder / "test") ? "test" : "val";
  const auto shots = options.shots.value_or(usual_shots);
  std::set<std::string> subjects;
  const auto ending = "_" + split;
  for (const auto& entry : fs::directory_iterator(folder / split))
    if (const auto name = entry.path().stem().string(); entry.path().extension() == ".csv" && name.ends_with(ending))
      subjects.insert(name.substr(0, name.size() - ending.size()));
  std::vector<Task> tasks;
  for (const auto& subject : subjects) {
    const auto file = folder / split / (subject + ending + ".csv");
    const auto text = read_task_file(file), examples = shots > 0 ? read_task_file(folder / "dev" / (subject + "_dev.csv")) : std::string();
    expect_utf8(text, file.string());
    expect_utf8(examples, "the examples of " + subject);
    tasks.push_back(read_mmlu(text, file.string(), subject, examples, static_cast<std::size_t>(shots)));
    tasks.back().sha256 = sha256_of({text, examples});
  }
  if (tasks.empty()) throw InputError("task", "{}: no {}/SUBJECT_{}.csv in it", folder.string(), split, split);
  return tasks;
}

/// The first of these files that exists.
std::optional<fs::path> first_of(const fs::path& folder, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (fs::exists(folder / name)) return folder / name;
  return std::nullopt;
}

std::vector<Task> load_folder(const fs::path& folder, const std::string& name, const TaskOptions& options) {
  if (const auto requests = first_of(folder, {"requests.jsonl.gz", "requests.jsonl", "requests.jsonl.zst", "requests.jsonl.xz"})) {
    auto task = load_file(*requests, name, options);
    if (fs::exists(folder / "config.json")) task.headline = headline_of(folder / "config.json");
    return {std::move(task)};
  }
  if (fs::is_directory(folder / "dev") && (fs::is_directory(folder / "val") || fs::is_directory(folder / "test")))
    return load_mmlu(folder, options);
  if (const auto file = first_of(folder, {"test.jsonl", "validation.jsonl", "train.jsonl"})) return {load_file(*file, name, options)};
  if (const auto archive = first_of(folder, {"BLiMP.zip"})) return load_pairs(*archive, name);
  return load_pairs(folder, name);
}

std::vector<Task> load_path(const fs::path& path, const std::string& name, const TaskOptions& options) {
  if (fs::is_directory(path)) return load_folder(path, name, options);
  if (path.extension() == ".zip") return load_pairs(path, name);
  return {load_file(path, name, options)};
}

bool is_task_folder(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && (is_json_lines(entry.path()) || entry.path().extension() == ".zip")) return true;
  return fs::is_directory(folder / "dev");
}

/// Every folder of tasks in the folder or one below it, by name.
std::vector<std::pair<std::string, fs::path>> tasks_in(const fs::path& folder) {
  std::vector<std::pair<std::string, fs::path>> found;
  if (!fs::is_directory(folder)) throw InputError("task", "{}: there is no such folder of tasks", folder.string());
  const auto look = [&](const fs::path& place, auto&& deeper) -> void {
    for (const auto& entry : fs::directory_iterator(place)) {
      if (!entry.is_directory()) continue;
      if (is_task_folder(entry.path())) found.emplace_back(entry.path().filename().string(), entry.path());
      else if (place == folder) deeper(entry.path(), deeper);
    }
  };
  look(folder, look);
  std::ranges::sort(found);
  return found;
}

std::vector<Task> load_named(std::string_view name, const TaskOptions& options) {
  if (options.folder.empty())
    throw with_hint(InputError("task", "{}: no such file or folder", name),
                    "--task-folder names the folder in which tasks are looked for by name");
  const auto known = tasks_in(options.folder);
  for (const auto& [candidate, path] : known)
    if (candidate == name) return load_path(path, candidate, options);
  // One task of a group: blimp_adjunct_island, mmlu_anatomy.
  for (const auto& [candidate, path] : known) {
    if (!name.starts_with(candidate + "_")) continue;
    auto all = load_path(path, candidate, options);
    const auto found = std::ranges::find(all, name, &Task::name);
    if (found == all.end()) continue;
    found->group.clear();
    return {std::move(*found)};
  }
  std::string names;
  for (const auto& [candidate, path] : known) names += (names.empty() ? "" : ", ") + candidate;
  throw InputError("task", "{}: no file, and no task of that name in {} (there are: {})", name, options.folder.string(), names);
}

}  // namespace

std::vector<Task> load_tasks(std::string_view name, const TaskOptions& options) {
  auto tasks = fs::exists(name) ? load_path(name, stem(fs::path(name).filename()), options) : load_named(name, options);
  if (options.limit > 0)
    for (auto& task : tasks)
      if (task.items.size() > static_cast<std::size_t>(options.limit)) task.items.resize(static_cast<std::size_t>(options.limit));
  return tasks;
}

}  // namespace isotrope

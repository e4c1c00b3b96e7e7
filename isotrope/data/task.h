#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isotrope {

namespace fs = std::filesystem;

/// What an evaluation asks of a model.
///
/// multiple_choice  which of the continuations is the likeliest (ARC, HellaSwag, minimal pairs of BLiMP …)
/// perplexity       how likely is this text
/// generation       what does the model write behind a prompt, and is it the answer (GSM8K)
enum class TaskKind { multiple_choice, perplexity, generation };

struct TaskChoice {
  std::string context,
      continuation;  ///< the tokens of the continuation are scored behind the context; an empty context: a text's beginning
  std::string text;  ///< what its length is counted of: the continuation without the delimiter before it
  std::optional<std::string> unconditional;  ///< the context that says nothing of the question, for the pointwise mutual information
};

struct TaskItem {
  std::string place;                ///< "file:line", for messages
  std::vector<TaskChoice> choices;  ///< multiple_choice
  std::size_t gold = 0;             ///< the right one
  std::string prompt, answer;       ///< generation
  std::string text;                 ///< perplexity
};

struct Task {
  std::string name, group;  ///< group: tasks that are one together ("blimp", "mmlu"); else empty
  TaskKind kind = TaskKind::multiple_choice;
  std::vector<TaskItem> items;
  std::string headline;           ///< the metric that the task's own definition names first: "acc", "acc_norm" …
  bool takes_shots = false;       ///< whether solved examples can stand before its questions
  std::vector<std::string> stop;  ///< generation ends where one of these begins
  std::string sha256;             ///< of the files it was read from
};

struct TaskOptions {
  fs::path folder;                    ///< where tasks that are named, not given as files, are looked for
  std::int64_t limit = 0;             ///< the first items of each task alone; 0: all
  std::optional<std::int64_t> shots;  ///< solved examples before each question, where the task has such; default: usual_shots
};
constexpr std::int64_t usual_shots = 5;  ///< as MMLU and GSM8K are usually run

/// The tasks that a name means: a file, a folder, or what is found of that name in options.folder or one folder below it; one task of a
/// group by its own name, which is then no group's. docs/formats/tasks.md says which records are read. Throws InputError that names file
/// and line for a record that is broken or of no known form, and lists what there is for an unknown name.
std::vector<Task> load_tasks(std::string_view name, const TaskOptions& options);

}  // namespace isotrope

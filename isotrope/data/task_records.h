#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/data/task.h"

namespace isotrope {

/// The lines of a text that are not empty, each with its number from 1 on.
void for_each_line(std::string_view text, const std::function<void(std::string_view line, std::size_t number)>& visit);

/// A task from JSON lines, whose first record says of which form all are. `file` names it in errors.
Task read_task_records(std::string_view text, const std::string& file);

/// Rows of a CSV file (RFC 4180): quoted fields may hold commas, line ends and doubled quotes. InputError names the line of a quote that
/// never ends.
struct CsvRow {
  std::vector<std::string> fields;
  std::size_t line;  ///< where it begins
};
std::vector<CsvRow> read_csv(std::string_view text, const std::string& file);

/// MMLU's questions (question, A, B, C, D, answer), each behind its subject's description and `examples`, as lm-evaluation-harness writes
/// them.
Task read_mmlu(std::string_view text, const std::string& file, std::string_view subject, std::string_view examples, std::size_t shots);

/// Puts the first `shots` questions with their answers before all others, and takes them out of the items. Generation alone.
void add_worked_examples(Task& task, std::size_t shots);

}  // namespace isotrope

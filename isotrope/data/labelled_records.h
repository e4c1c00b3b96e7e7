#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace isotrope {

/// A text or two, and which of a task's labels it has.
struct LabelledRecord {
  std::string first;
  std::optional<std::string> second;
  std::int64_t label;
  std::size_t line;  ///< in the file, from 1
};

/// JSONL: an object a line with `text`, or `text_a` and `text_b`, and `label`, which is a number from 0 on or one of `labels`; empty lines
/// are passed over, other keys ignored. Throws InputError that names file and line: no JSON, a key that is missing, of another type or
/// beside another form of it, an empty text, a label that is none.
std::vector<LabelledRecord> read_labelled_records(const std::filesystem::path& file, std::span<const std::string> labels);

}  // namespace isotrope

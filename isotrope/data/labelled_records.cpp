#include "isotrope/data/labelled_records.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/io/json.h"

namespace isotrope {

namespace {

constexpr std::string_view in_records = "records";

/// The number of a label; nothing for one that is none.
std::optional<std::int64_t> number_of_label(const nlohmann::json& label, std::span<const std::string> labels) {
  const auto count = static_cast<std::int64_t>(labels.size());
  if (label.is_number_integer()) {
    const auto number = label.get<std::int64_t>();
    return number >= 0 && number < count ? std::optional(number) : std::nullopt;
  }
  if (!label.is_string()) return std::nullopt;
  const auto found = std::ranges::find(labels, label.get<std::string>());
  return found == labels.end() ? std::nullopt : std::optional<std::int64_t>(found - labels.begin());
}

LabelledRecord parse_labelled_record(const nlohmann::json& json, const std::string& place, std::span<const std::string> labels) {
  const JsonReader reader(json, std::string(in_records), place);
  const auto text = [&](const char* key) {
    auto value = reader.get_string(key);
    if (value.empty()) throw InputError(in_records, "{}: \"{}\" is empty", place, key);
    return value;
  };
  LabelledRecord record;
  if (reader.has("text") && (reader.has("text_a") || reader.has("text_b")))
    throw InputError(in_records, "{}: expected \"text\", or \"text_a\" and \"text_b\", got both", place);
  if (reader.has("text_a") || reader.has("text_b")) record.first = text("text_a"), record.second = text("text_b");
  else record.first = text("text");
  const auto label = json.find("label");
  if (label == json.end()) throw InputError(in_records, "{}: \"label\" is missing", place);
  const auto number = number_of_label(*label, labels);
  if (!number)
    throw with_hint(InputError(in_records, "{}: \"label\": expected a number from 0 to {} or one of {}, got {}", place, labels.size() - 1,
                               fmt::join(labels, ", "), label->dump()),
                    "id2label in the model's config.json names the labels");
  record.label = *number;
  return record;
}

}  // namespace

std::vector<LabelledRecord> read_labelled_records(const std::filesystem::path& file, std::span<const std::string> labels) {
  const MappedFile map(file, in_records);
  const auto text = map.text();
  std::vector<LabelledRecord> records;
  std::size_t line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    const auto content = text.substr(begin, end - begin);
    begin = end + 1, ++line;
    if (content.find_first_not_of(" \t\r") == content.npos) continue;
    const auto json = parse_json(content, in_records, file.string(), {.first_line = line});
    records.push_back(parse_labelled_record(json, fmt::format("{}: line {}", file.string(), line), labels));
    records.back().line = line;
  }
  if (records.empty()) throw InputError(in_records, "{}: holds no record", file.string());
  return records;
}

}  // namespace isotrope

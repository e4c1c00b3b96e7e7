#include "isotrope/runlog/export.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "isotrope/base/file.h"
#include "isotrope/runlog/reader.h"

namespace isotrope {

namespace {

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + "\"";
}

std::string cell(const nlohmann::json& value) {
  if (value.is_null()) return "";
  return quoted(value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

std::string csv_text(const std::vector<nlohmann::json>& records) {
  using Column = std::pair<bool, std::string>;  // from an eval record, key
  std::map<std::uint64_t, std::map<Column, std::string>> rows;
  std::set<Column> columns;
  for (const auto& record : records) {
    const bool eval = record["type"] == "eval";
    if ((!eval && record["type"] != "step") || !record.contains("step")) continue;
    auto& row = rows[record["step"].get<std::uint64_t>()];
    for (const auto& [key, value] : record.items()) {
      if (key == "type" || key == "step") continue;
      row[{eval, key}] = cell(value);
      columns.emplace(eval, key);
    }
  }
  std::string text = "step";
  for (const auto& [eval, key] : columns) text += "," + quoted((eval ? "eval." : "") + key);
  text += "\n";
  for (const auto& [step, row] : rows) {
    text += std::to_string(step);
    for (const auto& column : columns) {
      const auto found = row.find(column);
      text += "," + (found == row.end() ? "" : found->second);
    }
    text += "\n";
  }
  return text;
}

void export_csv(const std::filesystem::path& run, const std::filesystem::path& output) {
  write_file(output, csv_text(read_run_log(run).records), "csv");
}

}  // namespace isotrope

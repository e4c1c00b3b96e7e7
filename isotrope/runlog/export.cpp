#include "isotrope/runlog/export.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "isotrope/base/error.h"
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

/// Lines by step from lines by name.
std::string in_order(std::string_view heads, std::vector<std::pair<std::uint64_t, std::string>> lines) {
  if (lines.empty()) return "";
  std::ranges::stable_sort(lines, {}, &std::pair<std::uint64_t, std::string>::first);
  std::string text(heads);
  for (const auto& line : lines) text += line.second;
  return text;
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

std::string tables_csv_text(const RunCurves& run) {
  std::vector<std::pair<std::uint64_t, std::string>> lines;
  for (const auto& [table, rows] : run.tables())
    for (const auto& [row, curve] : rows)
      for (std::size_t i = 0; i < curve.steps.size(); ++i)
        lines.emplace_back(curve.steps[i], fmt::format("{},{},{},{}\n", curve.steps[i], quoted(table), quoted(row), curve.values[i]));
  return in_order("step,table,row,value\n", std::move(lines));
}

std::string spectra_csv_text(const RunCurves& run) {
  std::vector<std::pair<std::uint64_t, std::string>> blocks;
  for (const auto& [spectrum, rows] : run.spectra())
    for (const auto& [row, course] : rows)
      for (std::size_t i = 0; i < course.steps.size(); ++i) {
        const auto begin = fmt::format("{},{},{},", course.steps[i], quoted(spectrum), quoted(row));
        auto& block = blocks.emplace_back(course.steps[i], "").second;
        for (std::size_t k = 0; k < course.values[i].size(); ++k) block += fmt::format("{}{},{}\n", begin, k, course.values[i][k]);
      }
  return in_order("step,spectrum,row,index,value\n", std::move(blocks));
}

std::vector<std::filesystem::path> export_csv(const std::filesystem::path& run, const std::filesystem::path& output) {
  const auto records = read_run_log(run).records;
  RunCurves curves;
  for (const auto& record : records) curves.add(record);
  std::vector<std::filesystem::path> written;
  const auto write = [&](const char* part, const std::string& text) {
    if (text.empty()) return;
    auto path = output;
    if (*part) path.replace_filename(output.stem().string() + part + output.extension().string());
    write_file(path, text, "csv");
    written.push_back(path);
  };
  write("", csv_text(records));
  write(".tables", tables_csv_text(curves));
  write(".spectra", spectra_csv_text(curves));
  return written;
}

}  // namespace isotrope

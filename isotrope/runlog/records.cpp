#include "isotrope/runlog/records.h"

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

constexpr std::string_view where = "run log";

void expect_name(std::string_view type, std::string_view what, std::string_view name) {
  if (name.empty()) throw WorkError(where, "a {} record needs a {}: got an empty one", type, what);
}

}  // namespace

nlohmann::json table_record(std::int64_t step, std::string_view name, const std::map<std::string, double>& rows) {
  expect_name("table", "name", name);
  if (rows.empty()) throw WorkError(where, "rows of the table {}: expected one or more, got none", name);
  expect_name("table", "name for every row", rows.begin()->first);
  return {{"type", "table"}, {"step", step}, {"name", name}, {"rows", rows}};
}

nlohmann::json spectrum_record(std::int64_t step, std::string_view name, std::string_view row, std::span<const double> values) {
  expect_name("spectrum", "name", name);
  expect_name("spectrum", "row", row);
  if (values.empty()) throw WorkError(where, "values of the spectrum {} of {}: expected one or more, got none", name, row);
  return {{"type", "spectrum"}, {"step", step}, {"name", name}, {"row", row}, {"values", thinned(values, longest_spectrum)}};
}

std::vector<double> thinned(std::span<const double> values, std::size_t most) {
  if (values.size() <= most) return {values.begin(), values.end()};
  std::vector<double> kept;
  const std::size_t last = values.size() - 1, intervals = most - 1;
  for (std::size_t i = 0; i <= intervals; ++i) kept.push_back(values[(2 * i * last + intervals) / (2 * intervals)]);
  return kept;
}

}  // namespace isotrope

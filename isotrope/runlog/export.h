#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace isotrope {

/// The curves of a run as CSV (RFC 4180, lines end in \n): one row a step in ascending order, `step` first, then the keys of the
/// `step` records by name, then those of the `eval` records as `eval.KEY`; cells without a value are empty.
/// Several records of one step fill one row, the later winning. Lists and objects are written as JSON.
std::string csv_text(const std::vector<nlohmann::json>& records);

/// csv_text() of the effective records of `run` (folder or run.jsonl) to `output`, whole or not at all.
void export_csv(const std::filesystem::path& run, const std::filesystem::path& output);

}  // namespace isotrope

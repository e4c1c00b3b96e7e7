#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "isotrope/runlog/curves.h"

namespace isotrope {

/// The curves of a run as CSV (RFC 4180, lines end in \n): one row a step in ascending order, `step` first, then the keys of the
/// `step` records by name, then those of the `eval` records as `eval.KEY`; cells without a value are empty.
/// Several records of one step fill one row, the later winning. Lists and objects are written as JSON.
std::string csv_text(const std::vector<nlohmann::json>& records);

/// Tables as CSV: `step,table,row,value`, ascending by step, then by table and row; numbers that are none are nan, inf, -inf.
/// Empty when there is no table.
std::string tables_csv_text(const RunCurves& run);

/// Spectra as CSV: `step,spectrum,row,index,value`, in the same order; indices from 0. Empty when there is no spectrum.
std::string spectra_csv_text(const RunCurves& run);

/// csv_text() of the effective records of `run` (folder or run.jsonl) to `output`; where they hold tables and spectra, those to
/// NAME.tables.csv and NAME.spectra.csv beside NAME.csv. Each file is written whole or not at all. Returns what was written.
std::vector<std::filesystem::path> export_csv(const std::filesystem::path& run, const std::filesystem::path& output);

}  // namespace isotrope

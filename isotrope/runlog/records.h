#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace isotrope {

// Records of what a probe has measured, for RunLog::append (docs/formats/run_log.md). The page, reports and exports show them under their
// names without knowing them. Values may be NaN or infinite. Both throw WorkError where a name, the rows or the values are empty: readers
// would pass such a record over.

/// The most values that a `spectrum` record holds.
inline constexpr std::size_t longest_spectrum = 256;

/// A number a row, rows being layers (`resid_post.3`), tensors by name, or what else there are several of.
nlohmann::json table_record(std::int64_t step, std::string_view name, const std::map<std::string, double>& rows);

/// A curve of one row, such as its singular values. More than longest_spectrum values are thinned.
nlohmann::json spectrum_record(std::int64_t step, std::string_view name, std::string_view row, std::span<const double> values);

/// `values` at `most` evenly spaced indices, the first and the last among them, each rounded to the nearest; all when there are no more
/// than that. `most` ≥ 2.
std::vector<double> thinned(std::span<const double> values, std::size_t most);

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "isotrope/train/run_config.h"

namespace isotrope {

/// A key of the configuration, and the values that it takes in a comparison.
struct Axis {
  std::string key;
  std::vector<std::string> values;
};

/// "KEY=VALUE,VALUE,…". UsageError for anything else, a value given twice, and keys that a comparison sets itself (run.folder, train.seed).
Axis parse_axis(const std::string& text);
/// "1,2,3". UsageError for anything else, and a seed given twice.
std::vector<std::int64_t> parse_seeds(const std::string& text);

/// One run of a comparison.
struct GridRun {
  std::vector<std::string> values;  ///< of the axes, in their order
  std::int64_t seed;
  std::string folder;  ///< relative to the comparison's: runs/adamw-0.001-seed1
  RunConfig config;
};

struct Grid {
  std::vector<Axis> axes;
  std::vector<std::int64_t> seeds;
  std::string reference;  ///< "KEY=VALUE", a value of an axis; or empty

  /// All runs, the first seed's before the second's, so that there is a whole picture early. `set`: overrides of the configuration.
  /// UsageError for a configuration that does not hold together, naming the key, and for a key that two axes have.
  std::vector<GridRun> runs(const std::filesystem::path& config, const std::vector<std::string>& set,
                            const std::filesystem::path& folder) const;
};

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "isotrope/base/config.h"

namespace isotrope {

/// `[observe]`: how often each observer of a run looks, in steps; 0: never.
struct ObserveConfig {
  std::int64_t evaluation = 200, samples = 0, weights = 50, spectra = 0;
  std::vector<std::string> spectra_matrices;

  void declare(ConfigSchema& schema);
};

}  // namespace isotrope

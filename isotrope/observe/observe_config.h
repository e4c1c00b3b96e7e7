#pragma once

#include <cstdint>

#include "isotrope/base/config.h"

namespace isotrope {

/// `[observe]`: how often each observer of a run looks, in steps; 0: never.
struct ObserveConfig {
  std::int64_t evaluation = 200, samples = 0, weights = 50;

  void declare(ConfigSchema& schema);
};

}  // namespace isotrope

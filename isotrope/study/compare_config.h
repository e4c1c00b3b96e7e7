#pragma once

#include <string>
#include <vector>

#include "isotrope/base/config.h"

namespace isotrope {

/// `[compare]`: what `isotrope compare` varies. Runs themselves do not read it.
struct CompareConfig {
  std::vector<std::string> axes;  ///< "optimizer.lr=1e-3,1e-2"
  std::string seeds, reference;   ///< "1,2,3"; "optimizer.name=adamw"

  void declare(ConfigSchema& schema);
};

}  // namespace isotrope

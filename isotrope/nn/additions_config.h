#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "isotrope/base/config.h"

namespace isotrope {

/// `[multipliers]`: shell patterns of the weights that get learnable multipliers (nn/additions.h).
struct MultipliersConfig {
  std::vector<std::string> rows, columns, scalars;

  void declare(ConfigSchema& schema);
};

/// `[lora]`: shell patterns of the weights that get low-rank factors, while all else stays as it is (nn/additions.h).
struct LoraConfig {
  std::vector<std::string> targets;
  std::int64_t rank = 8;
  double alpha = 16;

  void declare(ConfigSchema& schema);
};

}  // namespace isotrope

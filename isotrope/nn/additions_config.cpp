#include "isotrope/nn/additions_config.h"

namespace isotrope {

void MultipliersConfig::declare(ConfigSchema& s) {
  s.add(
      "multipliers.rows", &rows,
      {.meaning =
           "Weights W whose outputs get a learnable multiplier each, diag(r) W: shell patterns of tensor names (*.mlp.down_proj.weight)"});
  s.add("multipliers.columns", &columns, {.meaning = "Weights whose inputs get one each, W diag(c)"});
  s.add("multipliers.scalars", &scalars, {.meaning = "Weights that get one as a whole, s W"});
}

void LoraConfig::declare(ConfigSchema& s) {
  s.add("lora.targets", &targets,
        {.meaning = "Weights that are adapted by low-rank factors, W + alpha/rank B A: shell patterns of tensor names. Nothing else is "
                    "trained, but a head for labels"});
  s.add("lora.rank", &rank, {.meaning = "Rank of the factors", .min = 1, .max = 1 << 20});
  s.add("lora.alpha", &alpha, {.meaning = "Their product is scaled by alpha/rank"});
}

}  // namespace isotrope

#include "isotrope/study/compare_config.h"

namespace isotrope {

void CompareConfig::declare(ConfigSchema& s) {
  s.add("compare.axes", &axes, {.meaning = "isotrope compare: keys to vary, each as KEY=VALUE,VALUE,…; every combination is trained"});
  s.add("compare.seeds", &seeds,
        {.meaning = "isotrope compare: seeds that each combination is trained with, between commas; empty: train.seed"});
  s.add("compare.reference", &reference,
        {.meaning = "isotrope compare: KEY=VALUE of the runs whose final loss the others are timed against"});
}

}  // namespace isotrope

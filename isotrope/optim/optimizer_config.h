#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "isotrope/base/config.h"

namespace isotrope {

/// `[optimizer]`: the rule of the matrices, and the numbers of every rule, in a section of its own each. A rule's section is always legal
/// and checked, and read where the rule is named, so that one file serves a comparison of rules.
struct OptimizerConfig {
  std::string name = "adamw";
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  std::vector<std::string> adamw_matrices;  ///< patterns of names that AdamW serves, whatever rule is named
  struct {
    double momentum = 0.95;
    bool nesterov = true;
    std::int64_t iterations = 5;
    std::string scale = "moonlight";
  } muon;
  struct {
    double momentum = 0.95, rank_fraction = 0.015, rms = 0.2;
    std::int64_t iterations = 1;
    std::string spike_target = "tail_rms";
  } spectra;

  void declare(ConfigSchema& schema);
};

}  // namespace isotrope

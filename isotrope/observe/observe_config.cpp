#include "isotrope/observe/observe_config.h"

namespace isotrope {

void ObserveConfig::declare(ConfigSchema& s) {
  const auto add = [&](std::string name, std::int64_t* period, std::string meaning, std::string formerly = "") {
    s.add("observe." + name, period, {.meaning = meaning + "; 0: never", .unit = "steps", .min = 0, .formerly = std::move(formerly)});
  };
  add("evaluation", &evaluation, "Evaluate on data.validation every so many steps and at the end", "eval.every");
  add("samples", &samples, "Write a sample of generated text every so many steps", "sample.every");
  add("weights", &weights, "Write the root mean square of the weights, by class and matrix, every so many steps", "log.weights_every");
  add("spectra", &spectra,
      "Write the singular values of gradients, momenta, updates and weights of some matrices every so many steps; 100 costs little "
      "(of matrices with both sides above 1024 the leading tenth)");
  s.add("observe.spectra_matrices", &spectra_matrices,
        {.meaning =
             "The matrices of observe.spectra: shell patterns of tensor names; empty: those of the first, the middle and the last layer"});
}

}  // namespace isotrope

#include "isotrope/train/weight_norms.h"

#include <cmath>
#include <map>

#include "isotrope/kernels/adamw.h"

namespace isotrope {

nlohmann::json weight_norms(FlatParameters& parameters) {
  std::map<std::string, std::pair<double, std::int64_t>> classes;  // Σ w² and the number of weights
  auto matrices = nlohmann::json::object(), rms = nlohmann::json::object();
  for (const auto& segment : parameters.segments()) {
    const double squares = squared_norm(parameters.master().narrow(0, segment.offset, segment.count));
    auto& [sum, count] = classes[std::string(class_name(segment.kind))];
    sum += squares, count += segment.count;
    if (segment.shape.size() == 2) matrices[segment.name] = std::sqrt(squares / static_cast<double>(segment.count));
  }
  for (const auto& [name, total] : classes) rms[name] = std::sqrt(total.first / static_cast<double>(total.second));
  return {{"rms", rms}, {"matrices", matrices}};
}

}  // namespace isotrope

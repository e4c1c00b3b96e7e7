// The root mean square of the master weights, by parameter class and of every matrix: the record `weights`.
#include <cmath>

#include "isotrope/kernels/adamw.h"
#include "isotrope/train/observer.h"
#include "isotrope/train/session.h"

namespace isotrope {

namespace {

class WeightNorms final : public Observer {
 public:
  explicit WeightNorms(std::int64_t period) : period_(period) {}
  std::string_view name() const override { return "weights"; }
  bool wants(std::int64_t step) const override { return step % period_ == 0; }

  void after_update(const StepView& view) override {
    std::map<std::string, std::pair<double, std::int64_t>> classes;  // Σ w² and the number of weights
    auto matrices = nlohmann::json::object(), rms = nlohmann::json::object();
    for (const auto& segment : view.parameters.segments()) {
      const double squares = squared_norm(segment.in(view.parameters.master()));
      auto& [sum, count] = classes[std::string(class_name(segment.kind))];
      sum += squares, count += segment.count;
      if (segment.shape.size() == 2) matrices[segment.name] = std::sqrt(squares / static_cast<double>(segment.count));
    }
    for (const auto& [name, total] : classes) rms[name] = std::sqrt(total.first / static_cast<double>(total.second));
    view.log.append({{"type", "weights"}, {"step", view.step}, {"rms", rms}, {"matrices", matrices}});
  }

 private:
  std::int64_t period_;
};

const ObserverKind weight_norms_observer{[](const Session& session) -> std::unique_ptr<Observer> {
  const auto period = session.config.observe.weights;
  return period > 0 ? std::make_unique<WeightNorms>(period) : nullptr;
}};

}  // namespace
}  // namespace isotrope

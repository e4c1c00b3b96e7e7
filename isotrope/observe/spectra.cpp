// The singular values of gradients, momenta, updates and weights of chosen matrices: spectra of these names, and the tables
// spike_energy.NAME and spike_gap.NAME (geometry/spectrum.h).
#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "isotrope/base/error.h"
#include "isotrope/geometry/spectrum.h"
#include "isotrope/observe/matrix_choice.h"
#include "isotrope/runlog/records.h"
#include "isotrope/train/observer.h"
#include "isotrope/train/session.h"

namespace isotrope {

namespace {

constexpr std::int64_t largest_whole = 1024;  // shorter sides above it: the leading tenth of the values

class Spectra final : public Observer {
 public:
  Spectra(const Session& session, std::int64_t period) : period_(period) {
    const auto chosen = chosen_matrices(session.model->parameters(), session.config.observe.spectra_matrices, "observe.spectra_matrices");
    for (const auto* parameter : chosen)
      if (parameter->trains) segments_.push_back(&session.optimizer->parameters().segment(parameter->name));
    // What of W ← (1 − lr·λ) W − lr·U is decay.
    for (const auto& share : session.optimizer->shares())
      for (const auto& name : share.parameters) shares_[name] = {share.lr_factor, share.weight_decay};
  }
  std::string_view name() const override { return "spectra"; }
  bool wants(std::int64_t step) const override { return step % period_ == 0; }

  void before_update(const StepView& view) override {
    before_.clear();
    for (const auto* segment : segments_) before_.push_back(segment->in(view.parameters.master()).to(at::kDouble));
  }

  void after_update(const StepView& view) override {
    const auto state = view.optimizer.state();
    std::vector<SpectrumInput> matrices;
    std::vector<std::pair<std::string, std::string>> places;  // the kind and the row of each
    const auto add = [&](const std::string& kind, const Segment& segment, const at::Tensor& stored) {
      for (const auto& [row, matrix] : named_matrices(segment.name, stored, segment.form)) {
        const auto values = matrix.flatten(0, 1);
        const auto r = std::min(values.size(0), values.size(1));
        matrices.push_back({fmt::format("the {} of {}", kind, row), values, r > largest_whole ? std::max<std::int64_t>(64, r / 10) : 0});
        places.emplace_back(kind, row);
      }
    };
    for (std::size_t i = 0; i < segments_.size(); ++i) {
      const auto& segment = *segments_[i];
      const auto weight = segment.in(view.parameters.master());
      add("weight", segment, weight);
      if (view.empty) continue;  // nothing has moved
      add("gradient", segment, view.gradients.of(segment));
      for (const auto& [name, value] : state)
        if (name == "momentum." + segment.name || name == "exp_avg." + segment.name) add("momentum", segment, value);
      const auto [lr_factor, decay] = shares_.at(segment.name);
      if (const double lr = view.lr * lr_factor; lr > 0)
        add("update", segment, ((1 - lr * decay) * before_[i] - weight.to(at::kDouble)) / lr);
    }
    before_.clear();
    const auto spectra = singular_values(matrices);
    std::map<std::string, std::map<std::string, double>> tables;
    for (std::size_t i = 0; i < spectra.size(); ++i) {
      const auto& [kind, row] = places[i];
      const auto spike = spike_of(spectra[i]);
      tables["spike_energy." + kind][row] = spike.energy;
      tables["spike_gap." + kind][row] = spike.gap;
      view.log.append(spectrum_record(view.step, kind, row, spectra[i].values));
    }
    for (const auto& [name, rows] : tables) view.log.append(table_record(view.step, name, rows));
  }

 private:
  struct Share {
    double lr_factor, weight_decay;
  };

  std::int64_t period_;
  std::vector<const Segment*> segments_;
  std::map<std::string, Share> shares_;
  std::vector<at::Tensor> before_;
};

const ObserverKind spectra_observer{[](const Session& session) -> std::unique_ptr<Observer> {
  const auto period = session.config.observe.spectra;
  return period > 0 ? std::make_unique<Spectra>(session, period) : nullptr;
}};

}  // namespace
}  // namespace isotrope

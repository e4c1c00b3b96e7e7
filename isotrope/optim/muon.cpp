// Muon (Jordan et al. 2024): the mean of gradients, its singular values brought near one, is the update.
//   M ← μ M + (1 − μ) G;  N = μ M + (1 − μ) G with Nesterov, else M;  W ← (1 − ηλ) W − η · scale · newton_schulz(N)
// scale: 0.2·√max(m, n) (Moonlight, arXiv 2502.16982: the RMS of AdamW's updates), or Jordan's √max(1, m/n). Weights that are stored as one
// are taken apart: each matrix has its own update.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "isotrope/kernels/newton_schulz.h"
#include "isotrope/optim/update_rule.h"

namespace isotrope {

namespace {

class Muon final : public UpdateRule {
 public:
  Muon(const ParameterGroup& group, const at::TensorOptions& options, const OptimizerConfig& config)
      : group_(group), config_(config), momentum_(at::zeros({group.count}, options)) {}

  void update_(const GroupBuffers& b, const StepSettings& s) override {
    const double mu = config_.muon.momentum;
    for (const auto* segment : group_.segments) {
      const auto gradient = b.of(b.gradients, *segment) * s.gradient_scale;
      auto momentum = b.of(momentum_, *segment), weight = b.of(b.master, *segment);
      momentum.lerp_(gradient, 1 - mu);
      const auto direction = config_.muon.nesterov ? gradient.lerp(momentum, mu) : momentum;
      weight.mul_(1 - s.lr * s.weight_decay);
      const auto directions = matrix_views(direction, segment->form), weights = matrix_views(weight, segment->form);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        const auto matrix = directions[i].flatten(0, 1);
        weights[i].sub_(newton_schulz(matrix, config_.muon.iterations).view_as(directions[i]), s.lr * scale(matrix));
      }
      if (b.working.defined()) b.of(b.working, *segment).copy_(weight);
    }
  }

  std::vector<NamedTensor> state() const override { return named_parts("momentum", momentum_, group_); }

 private:
  double scale(const at::Tensor& matrix) const {
    const auto out = static_cast<double>(matrix.size(0)), in = static_cast<double>(matrix.size(1));
    return config_.muon.scale == "jordan" ? std::sqrt(std::max(1.0, out / in)) : 0.2 * std::sqrt(std::max(out, in));
  }

  const ParameterGroup& group_;
  OptimizerConfig config_;
  at::Tensor momentum_;
};

const RuleKind muon_rule{"muon",
                         [](const ParameterGroup& group, const at::TensorOptions& options, const OptimizerConfig& config,
                            std::uint64_t) -> std::unique_ptr<UpdateRule> { return std::make_unique<Muon>(group, options, config); },
                         [](const Parameter& parameter, const OptimizerConfig&) { return is_matrix(parameter); }};

}  // namespace
}  // namespace isotrope

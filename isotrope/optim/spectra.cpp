// Spectra (arXiv 2602.11185): momenta of language-model matrices have a spike, about 1.5% of the singular directions with values far above
// a smooth tail. The spike is flattened to the tail's level, the tail left alone; the formula stands in kernels/spectra.h. State: the
// momentum and the right singular directions of the spike, the first of them drawn. Weights that are stored as one are taken apart: each
// matrix has its own spike.
#include "isotrope/kernels/spectra.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "isotrope/base/random.h"
#include "isotrope/optim/update_rule.h"

namespace isotrope {

namespace {

constexpr std::int64_t least_rank = 8;  // below it, what is left of the tail says too little of its level

std::int64_t spike_rank(std::int64_t r, double fraction) {
  return fraction == 0 ? 0 : std::max<std::int64_t>(1, std::llround(fraction * static_cast<double>(r)));
}

/// [n, k] with orthonormal columns: Gaussian numbers of a stream of its own, row by row, then QR.
at::Tensor first_basis(std::int64_t n, std::int64_t k, std::uint64_t seed, const std::string& name, const at::TensorOptions& options) {
  const auto values = at::empty({n, k}, at::kDouble);
  RandomStream stream(seed, "spectra/" + name);
  for (std::int64_t i = 0; i < n * k; ++i) values.mutable_data_ptr<double>()[i] = stream.normal();
  return orthonormal_columns(values).to(options);
}

SpikeTarget spike_target(const std::string& name) {
  using enum SpikeTarget;
  return name == "next" ? next : name == "median" ? median : name == "zero" ? zero : name == "unchanged" ? unchanged : tail_rms;
}

class Spectra final : public UpdateRule {
 public:
  Spectra(const ParameterGroup& group, const at::TensorOptions& options, const OptimizerConfig& config, std::uint64_t seed)
      : group_(group), config_(config), momentum_(at::zeros({group.count}, options)) {
    for (const auto* segment : group.segments) {
      for (const auto& [name, matrix] : named_matrices(segment->name, momentum_of(*segment), segment->form)) {
        const auto out = matrix.size(0) * matrix.size(1), in = matrix.size(2);
        const auto k = spike_rank(std::min(out, in), config.spectra.rank_fraction);
        bases_.push_back({"right_basis." + name, first_basis(in, k, seed, name, options)});
      }
    }
  }

  void update_(const GroupBuffers& b, const StepSettings& s) override {
    std::vector<SpectraMatrix> matrices;
    for (const auto* segment : group_.segments) {
      const auto& form = segment->form;
      const auto weights = matrix_views(b.of(b.master, *segment), form), momenta = matrix_views(momentum_of(*segment), form),
                 gradients = matrix_views(b.of(b.gradients, *segment), form);
      const auto working = b.working.defined() ? matrix_views(b.of(b.working, *segment), form) : std::vector<at::Tensor>(weights.size());
      for (std::size_t i = 0; i < weights.size(); ++i)
        matrices.push_back({weights[i], momenta[i], gradients[i], working[i], bases_[matrices.size()].value});
    }
    const auto& c = config_.spectra;
    spectra_(matrices, {.lr = s.lr,
                        .weight_decay = s.weight_decay,
                        .momentum = c.momentum,
                        .gradient_scale = s.gradient_scale,
                        .rms = c.rms,
                        .iterations = c.iterations,
                        .target = spike_target(c.spike_target)});
  }

  std::vector<NamedTensor> state() const override {
    auto all = named_parts("momentum", momentum_, group_);
    all.insert(all.end(), bases_.begin(), bases_.end());
    return all;
  }

 private:
  at::Tensor momentum_of(const Segment& segment) const {
    return momentum_.narrow(0, segment.offset - group_.offset, segment.count).view(segment.shape);
  }

  const ParameterGroup& group_;
  OptimizerConfig config_;
  at::Tensor momentum_;
  std::vector<NamedTensor> bases_;  // of every matrix, in order
};

const RuleKind spectra_rule{
    "spectra",
    [](const ParameterGroup& group, const at::TensorOptions& options, const OptimizerConfig& config,
       std::uint64_t seed) -> std::unique_ptr<UpdateRule> { return std::make_unique<Spectra>(group, options, config, seed); },
    [](const Parameter& parameter, const OptimizerConfig& config) {
      if (!is_matrix(parameter)) return false;
      return std::ranges::all_of(matrix_views(parameter.value, parameter.form), [&](const at::Tensor& matrix) {
        const auto r = std::min(matrix.size(0) * matrix.size(1), matrix.size(2));
        return r >= least_rank && spike_rank(r, config.spectra.rank_fraction) < r;
      });
    }};

}  // namespace
}  // namespace isotrope

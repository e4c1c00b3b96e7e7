// AdamW (Loshchilov & Hutter 2019) over a whole group in one pass; the formula stands in kernels/adamw.h.
#include "isotrope/kernels/adamw.h"

#include <ATen/ATen.h>

#include "isotrope/optim/update_rule.h"

namespace isotrope {

namespace {

class AdamW final : public UpdateRule {
 public:
  AdamW(const ParameterGroup& group, const at::TensorOptions& options, const OptimizerConfig& config)
      : group_(group), config_(config), exp_avg_(at::zeros({group.count}, options)), exp_avg_sq_(at::zeros({group.count}, options)) {}

  /// The gaps between segments hold zeros, which stay zeros.
  void update_(const GroupBuffers& b, const StepSettings& s) override {
    auto weights = b.master;
    adamw_(weights, exp_avg_, exp_avg_sq_, b.gradients, b.working,
           {s.lr, config_.beta1, config_.beta2, config_.eps, s.weight_decay, s.step, s.gradient_scale});
  }

  std::vector<NamedTensor> state() const override {
    auto all = named_parts("exp_avg", exp_avg_, group_);
    std::ranges::move(named_parts("exp_avg_sq", exp_avg_sq_, group_), std::back_inserter(all));
    return all;
  }

 private:
  const ParameterGroup& group_;
  OptimizerConfig config_;
  at::Tensor exp_avg_, exp_avg_sq_;
};

const RuleKind adamw_rule{"adamw",
                          [](const ParameterGroup& group, const at::TensorOptions& options, const OptimizerConfig& config,
                             std::uint64_t) -> std::unique_ptr<UpdateRule> { return std::make_unique<AdamW>(group, options, config); },
                          [](const Parameter&, const OptimizerConfig&) { return true; }};

}  // namespace
}  // namespace isotrope

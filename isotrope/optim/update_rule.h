#pragma once

#include <memory>
#include <string>
#include <vector>

#include "isotrope/optim/flat_parameters.h"
#include "isotrope/optim/optimizer_config.h"

namespace isotrope {

struct NamedTensor {
  std::string name;
  at::Tensor value;
};

/// What one step asks of a rule.
struct StepSettings {
  double lr, weight_decay;
  double gradient_scale;  ///< gradients are multiplied with it as they are read: clipping
  std::int64_t step;      ///< of this update, from 1
};

/// What a rule works on: the flat fp32 masters and gradients of its group, and the bf16 working copy where there is one (undefined
/// otherwise); ParameterGroup says which parameter lies where (Segment::in takes the whole buffers).
struct GroupBuffers {
  const ParameterGroup& group;
  at::Tensor master, gradients, working;

  /// A parameter's part of one of the three, in its own shape.
  at::Tensor of(const at::Tensor& buffer, const Segment& segment) const {
    return buffer.narrow(0, segment.offset - group.offset, segment.count).view(segment.shape);
  }
};

/// How parameters move: one object a group, which holds what the rule remembers of them.
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  /// Moves masters and working copy by one step.
  virtual void update_(const GroupBuffers& buffers, const StepSettings& settings) = 0;
  /// All that the rule remembers, of any shape: "exp_avg.NAME" [m, n], "right_basis.NAME" [n, k]. Contiguous, not reallocated by update_().
  virtual std::vector<NamedTensor> state() const = 0;
};

/// A buffer as long as the group, and its parts by "PREFIX.NAME": state in the shape of the parameters.
std::vector<NamedTensor> named_parts(const std::string& prefix, const at::Tensor& buffer, const ParameterGroup& group);

/// An update rule as the configuration names it. A file of optim/ that makes one registers it: `const RuleKind adamw_rule{…}`.
struct RuleKind {
  std::string name;
  /// `seed`: the run's, for what is drawn.
  std::unique_ptr<UpdateRule> (*make)(const ParameterGroup&, const at::TensorOptions& fp32, const OptimizerConfig&, std::uint64_t seed);
  /// Whether it can serve this parameter; what it cannot, AdamW does. AdamW serves all.
  bool (*serves)(const Parameter&, const OptimizerConfig&);

  RuleKind(std::string name, decltype(make) make, decltype(serves) serves);
};

/// Throws UsageError for a name that none has registered.
const RuleKind& rule_kind(const std::string& name);

/// One matrix [out, in], or several stored as one, and no convolution.
bool is_matrix(const Parameter& parameter);

}  // namespace isotrope

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "isotrope/optim/rule_share.h"
#include "isotrope/optim/update_rule.h"

namespace isotrope {

/// Which rule, with which factors, serves which parameters: by class and name; the first assignment that matches wins.
struct Assignment {
  std::vector<ParameterClass> classes;     ///< empty: any
  std::vector<std::string> patterns;       ///< of names, as fnmatch(3) takes them; empty: any
  std::string rule;                        ///< the assignment is passed over for a parameter that the rule cannot serve
  double lr_factor = 1, weight_decay = 0;  ///< decoupled: w ← (1 − lr · lr_factor · weight_decay) w beside the update
  bool in_clip_norm = true;                ///< counts in the gradient norm, and is clipped by it
};

/// What a configuration assigns: its rule to matrices, AdamW to all else; vectors and multipliers do not decay.
std::vector<Assignment> assignments(const OptimizerConfig& config);

/// The parameters of a model and the rules that move them, a rule a group. One call of step_() is one optimizer step; their number is part
/// of the state.
class Optimizer {
 public:
  /// Lays out the parameters by the assignments, which must cover all that train (else UsageError naming the first that none serves).
  /// `seed`: of what rules draw.
  Optimizer(Parameters& parameters, at::ScalarType working, const OptimizerConfig& config, std::vector<Assignment> assignments,
            std::uint64_t seed = 0);

  FlatParameters& parameters() { return parameters_; }
  const FlatParameters& parameters() const { return parameters_; }
  const std::string& name() const { return config_.name; }  ///< of the configuration's rule

  /// √Σ g² over all that counts in the norm, in the model's order; `squares`: Gradients::squared_norms().
  double gradient_norm(const std::vector<double>& squares) const;
  /// Updates masters and working copy; `gradient_scale` is the factor of clipping.
  void step_(const Gradients& gradients, double lr, double gradient_scale);

  /// All there is to save besides steps(), as UpdateRule::state() says.
  std::vector<NamedTensor> state() const;
  std::int64_t state_bytes() const;
  std::int64_t matrix_state_bytes() const;  ///< of that, what belongs to parameters of class matrix
  std::vector<RuleShare> shares() const;
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }

 private:
  OptimizerConfig config_;
  std::vector<Assignment> assignments_;
  FlatParameters parameters_;
  std::vector<std::unique_ptr<UpdateRule>> rules_;  // of the groups; null where one is empty
  std::int64_t steps_ = 0;
};

/// The optimizer of a configuration. `parameters` must outlive it.
std::unique_ptr<Optimizer> make_optimizer(Parameters& parameters, at::ScalarType working, const OptimizerConfig& config,
                                          std::uint64_t seed = 0);

}  // namespace isotrope

#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "isotrope/optim/flat_parameters.h"

namespace isotrope {

/// An update rule over flat parameters. One call of step_() is one optimizer step; its count is part of the state.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Updates the master weights and the working copy from parameters.gradients(), each read times `gradient_scale` (clipping).
  virtual void step_(double lr, double gradient_scale) = 0;
  /// The state as named flat buffers (views, laid out like the master weights): all there is to save besides steps().
  virtual std::vector<std::pair<std::string, at::Tensor>> state() = 0;
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }
  std::int64_t state_bytes();

 protected:
  std::int64_t steps_ = 0;
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.1;  ///< of matrices, embeddings and the head; vectors are not decayed
};

/// AdamW with decoupled decay and bias correction (kernels/adamw.h). `parameters` must outlive it.
std::unique_ptr<Optimizer> make_adamw(FlatParameters& parameters, const AdamWOptions& options);

}  // namespace isotrope

#pragma once

#include <cstdint>

#include "isotrope/models/model.h"
#include "isotrope/optim/optimizer.h"

namespace isotrope {

/// What a step has left behind. Valid only during the call: buffers are used again.
struct StepView {
  std::int64_t step;  ///< optimizer steps taken, this one included
  double loss, lr, grad_norm;
  Model& model;
  FlatParameters& parameters;  ///< weights after the update, gradients of this step before clipping
  Optimizer& optimizer;
};

/// The interface of all that watches a run: called after every step, on the training thread. It must not change what it sees.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void after_step(const StepView& view) = 0;
};

}  // namespace isotrope

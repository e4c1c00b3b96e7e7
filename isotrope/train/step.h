#pragma once

#include <span>

#include "isotrope/models/model.h"
#include "isotrope/optim/flat_parameters.h"
#include "isotrope/train/batch.h"

namespace isotrope {

/// What the forward and backward passes of one optimizer step have found.
struct StepOutcome {
  double loss = 0;           ///< mean over counted targets, nats; z-loss included
  std::int64_t counted = 0;  ///< targets
  double grad_norm = 0;      ///< before clipping
};

/// Forward and backward over all batches of a step; afterwards parameters.gradients() holds the gradient of the mean over all counted
/// targets, however the sequences were split into batches.
StepOutcome compute_gradients(Model& model, FlatParameters& parameters, std::span<const Batch> batches, double z_loss);

/// What gradients are multiplied with so that their norm does not exceed `clip`; 1 for clip = 0.
double clip_factor(double clip, double grad_norm);

}  // namespace isotrope

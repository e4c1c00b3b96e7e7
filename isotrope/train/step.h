#pragma once

#include <optional>
#include <span>

#include "isotrope/models/model.h"
#include "isotrope/optim/flat_parameters.h"
#include "isotrope/train/objective.h"

namespace isotrope {

/// What the forward and backward passes of one optimizer step have found.
struct StepOutcome {
  double loss = 0;  ///< nats; z-loss included
  Measures measures;
  std::int64_t tokens = 0;  ///< learnt from, [CLS] and [SEP] included
};

/// Seed and step of the masks, where the dropouts of the model's config act.
struct DropoutSeed {
  std::uint64_t seed, step;
};

/// What a forward pass over the batch is told.
ForwardContext forward_context(const Batch& batch);

/// Rows [position, position + train.batch_size), in batches that are computed one after another.
std::vector<Batch> step_batches(const Objective& objective, const RunConfig& config, std::uint64_t position);

/// Forward and backward over all batches of a step; afterwards `gradients` holds the gradient of the mean over all counted targets, however
/// the sequences were split into batches.
StepOutcome compute_gradients(Model& model, Gradients& gradients, const Objective& objective, std::span<const Batch> batches,
                              std::optional<DropoutSeed> dropout = {});

/// What gradients are multiplied with so that their norm does not exceed `clip`; 1 for clip = 0.
double clip_factor(double clip, double grad_norm);

}  // namespace isotrope

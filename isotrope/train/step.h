#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>

#include "isotrope/models/model.h"
#include "isotrope/optim/flat_parameters.h"
#include "isotrope/train/batch.h"

namespace isotrope {

/// How well something was predicted.
struct Prediction {
  double nll_sum = 0;  ///< nats
  double hits = 0;
  std::int64_t count = 0;
  double loss() const { return nll_sum / static_cast<double>(count); }  ///< NaN where nothing was asked for
  double accuracy() const { return hits / static_cast<double>(count); }
  void add(double nll, double hit, std::int64_t counted) { nll_sum += nll, hits += hit, count += counted; }
};

/// Of an objective's parts: tokens (the next, or the hidden), the token before (bilm), pairs of segments (mlm_nsp).
struct Predictions {
  Prediction tokens, backward, pairs;
  /// The sum of the means of those parts that were asked for: what is minimised, z-loss apart. NaN where nothing was.
  double loss() const;
  bool any() const { return tokens.count + backward.count + pairs.count > 0; }
};

/// How many of each part a whole step predicts: losses are means over them, however the step is split.
struct StepCounts {
  std::int64_t tokens = 0, backward = 0, pairs = 0;
  explicit StepCounts(std::span<const Batch> batches);
};

/// The loss of a batch, its share of the step's: differentiable scalar, undefined where the batch predicts nothing. What was predicted is
/// added to
/// `predictions`.
at::Tensor batch_loss(Model& model, const Batch& batch, const StepCounts& counts, const ForwardContext& context, double z_loss,
                      Predictions& predictions);

/// What the forward and backward passes of one optimizer step have found.
struct StepOutcome {
  double loss = 0;  ///< nats; z-loss included
  Predictions predictions;
  std::int64_t tokens = 0;  ///< learnt from, [CLS] and [SEP] included
};

/// Into a record of the log: the accuracy, and where there is more than one part, the loss of each (docs/formats/run_log.md).
void add_predictions(nlohmann::json& record, const Predictions& predictions);

struct GradientOptions {
  double z_loss = 0;
  /// Seed and step of the masks, where the dropouts of the model's config act.
  struct DropoutSeed {
    std::uint64_t seed, step;
  };
  std::optional<DropoutSeed> dropout = {};
};

/// Forward and backward over all batches of a step; afterwards `gradients` holds the gradient of the mean over all counted targets, however
/// the sequences were split into batches.
StepOutcome compute_gradients(Model& model, Gradients& gradients, std::span<const Batch> batches, const GradientOptions& options = {});

/// What gradients are multiplied with so that their norm does not exceed `clip`; 1 for clip = 0.
double clip_factor(double clip, double grad_norm);

}  // namespace isotrope

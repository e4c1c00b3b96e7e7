#include "isotrope/train/step.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "isotrope/kernels/adamw.h"
#include "isotrope/kernels/gradient_sink.h"
#include "isotrope/loss/next_token.h"

namespace isotrope {

StepOutcome compute_gradients(Model& model, FlatParameters& parameters, std::span<const Batch> batches, double z_loss) {
  StepOutcome outcome;
  for (const auto& batch : batches) outcome.counted += batch.counted;
  parameters.zero_gradients();
  const HeadLossOptions options{.scale = 1.0 / static_cast<double>(std::max<std::int64_t>(1, outcome.counted)),
                                .z_loss = z_loss,
                                .sink = gradient_sink(model.head().weight)};
  for (const auto& batch : batches) {
    const auto hidden = model.forward_ids(batch.ids, {.documents = batch.documents});
    const auto loss = next_token_loss(model.head_input(hidden), model.head(), batch.targets, options).loss;
    outcome.loss += loss.item<double>();
    loss.backward();
    parameters.collect_gradients();
  }
  outcome.grad_norm = std::sqrt(squared_norm(parameters.gradients()));
  return outcome;
}

double clip_factor(double clip, double grad_norm) { return clip > 0 ? std::min(1.0, clip / (grad_norm + 1e-6)) : 1.0; }

}  // namespace isotrope

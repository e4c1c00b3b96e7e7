#include "isotrope/train/step.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace isotrope {

ForwardContext forward_context(const Batch& batch) { return {.documents = batch.documents, .token_types = batch.token_types}; }

std::vector<Batch> step_batches(const Objective& objective, const RunConfig& config, std::uint64_t position) {
  const auto& t = config.train;
  const auto micro = t.micro_batch_size > 0 ? t.micro_batch_size : t.batch_size;
  std::vector<Batch> batches;
  for (std::int64_t row = 0; row < t.batch_size; row += micro)
    batches.push_back(objective.batch(position + static_cast<std::uint64_t>(row), std::min(micro, t.batch_size - row)));
  return batches;
}

StepOutcome compute_gradients(Model& model, Gradients& gradients, const Objective& objective, std::span<const Batch> batches,
                              std::optional<DropoutSeed> dropout) {
  const at::AutoGradMode recording(true);
  StepOutcome outcome;
  const StepCounts counts(batches);
  gradients.begin();
  std::int64_t first_row = 0;
  for (const auto& batch : batches) {
    auto context = forward_context(batch);
    if (dropout) context.dropout = {dropout->seed, dropout->step, first_row};
    const auto loss = objective.loss(model, batch, counts, context, outcome.measures);
    first_row += batch.rows();
    outcome.tokens += batch.tokens;
    if (!loss.defined()) continue;
    outcome.loss += loss.item<double>();
    loss.backward();
    gradients.collect();
  }
  gradients.collect();  // where no batch had a loss, the gradients are zero, not those of the step before
  return outcome;
}

double clip_factor(double clip, double grad_norm) { return clip > 0 ? std::min(1.0, clip / (grad_norm + 1e-6)) : 1.0; }

}  // namespace isotrope

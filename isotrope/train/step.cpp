#include "isotrope/train/step.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "isotrope/kernels/head_loss.h"

namespace isotrope {

double Predictions::loss() const {
  if (!any()) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (const auto* part : {&tokens, &backward, &pairs})
    if (part->count > 0) sum += part->loss();
  return sum;
}

StepCounts::StepCounts(std::span<const Batch> batches) {
  for (const auto& batch : batches) {
    tokens += batch.counted, backward += batch.backward_counted;
    pairs += batch.pair_targets.defined() ? batch.rows() : 0;
  }
}

namespace {

double share_of(std::int64_t count) { return 1.0 / static_cast<double>(std::max<std::int64_t>(1, count)); }

/// hidden [N, d] against targets [N], through the model's head.
at::Tensor token_loss(const Model& model, const at::Tensor& head_input, const at::Tensor& targets, std::int64_t counted, double scale,
                      double z_loss, Prediction& prediction) {
  const auto out = head_loss(head_input, model.head(), targets, {.scale = scale, .z_loss = z_loss});
  prediction.add(out.nll.sum(at::kDouble).item<double>(), out.correct.sum(at::kDouble).item<double>(), counted);
  return out.loss;
}

at::Tensor pair_loss(const Model& model, const at::Tensor& first, const at::Tensor& targets, const Dropout& dropout, double scale,
                     Prediction& prediction) {
  const auto logits = model.pair_logits(first, dropout).to(at::kFloat);
  const auto nll = at::cross_entropy_loss(logits, targets, {}, at::Reduction::Sum);
  prediction.add(nll.item<double>(), (logits.argmax(1) == targets).sum().item<double>(), targets.numel());
  return scale * nll;
}

}  // namespace

at::Tensor batch_loss(Model& model, const Batch& batch, const StepCounts& counts, const ForwardContext& context, double z_loss,
                      Predictions& predictions) {
  const auto hidden = model.forward_ids(batch.ids, context);
  at::Tensor loss;
  const auto add = [&](const at::Tensor& part) { loss = loss.defined() ? loss + part : part; };
  if (batch.counted > 0) {
    auto rows = hidden.flatten(0, 1);
    if (batch.predicted.defined()) rows = rows.index_select(0, batch.predicted);
    add(token_loss(model, model.head_input(rows), batch.targets.flatten(), batch.counted, share_of(counts.tokens), z_loss,
                   predictions.tokens));
  }
  if (batch.backward_counted > 0)
    add(token_loss(model, model.backward_head_input(hidden.flatten(0, 1)), batch.backward_targets.flatten(), batch.backward_counted,
                   share_of(counts.backward), z_loss, predictions.backward));
  if (batch.pair_targets.defined())
    add(pair_loss(model, hidden.select(1, 0), batch.pair_targets, context.dropout, share_of(counts.pairs), predictions.pairs));
  return loss;
}

StepOutcome compute_gradients(Model& model, Gradients& gradients, std::span<const Batch> batches, const GradientOptions& options) {
  const at::AutoGradMode recording(true);
  StepOutcome outcome;
  const StepCounts counts(batches);
  gradients.begin();
  std::int64_t first_row = 0;
  for (const auto& batch : batches) {
    ForwardContext context{.documents = batch.documents, .token_types = batch.token_types};
    if (options.dropout) context.dropout = {options.dropout->seed, options.dropout->step, first_row};
    const auto loss = batch_loss(model, batch, counts, context, options.z_loss, outcome.predictions);
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

void add_predictions(nlohmann::json& record, const Predictions& p) {
  if (p.tokens.count > 0) record["accuracy"] = p.tokens.accuracy();
  if (p.backward.count == 0 && p.pairs.count == 0) return;
  if (p.tokens.count > 0) record["token_loss"] = p.tokens.loss();
  if (p.backward.count > 0) record["backward_loss"] = p.backward.loss(), record["backward_accuracy"] = p.backward.accuracy();
  if (p.pairs.count > 0) record["pair_loss"] = p.pairs.loss(), record["pair_accuracy"] = p.pairs.accuracy();
}

double clip_factor(double clip, double grad_norm) { return clip > 0 ? std::min(1.0, clip / (grad_norm + 1e-6)) : 1.0; }

}  // namespace isotrope

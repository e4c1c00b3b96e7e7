// What the run's objective says of text it has not seen: the record `eval`.
#include "isotrope/eval/perplexity.h"

#include <ATen/ATen.h>

#include <limits>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/train/observer.h"
#include "isotrope/train/session.h"
#include "isotrope/train/step.h"

namespace isotrope {

namespace {

class Evaluation final : public Observer {
 public:
  explicit Evaluation(const Session& session) : s_(session) {}
  std::string_view name() const override { return "evaluation"; }
  bool wants(std::int64_t step) const override { return step % s_.config.observe.evaluation == 0; }

  void after_update(const StepView& view) override {
    evaluated_at_ = view.step;
    if (s_.collation.objective == Objective::clm) evaluate_text(view);
    else evaluate_objective(view);
  }
  bool finish(const StepView& view) override {
    const bool due = evaluated_at_ != view.step;
    if (due) after_update(view);
    return due;
  }
  std::map<std::string, double> results() const override {
    return {{"validation_nll", nll_}, {"validation_bits_per_byte", bits_per_byte_}};
  }

 private:
  /// What the objective asks, of the validation file: the same rows, masks and pairs at every evaluation.
  void evaluate_objective(const StepView& view) {
    const at::NoGradGuard no_grad;
    const auto& sampler = *s_.validation_sampler;
    auto windows = static_cast<std::int64_t>(sampler.windows_per_epoch());
    if (s_.config.eval.max_windows > 0) windows = std::min(windows, s_.config.eval.max_windows);
    Predictions predictions;
    for (std::int64_t at = 0; at < windows; at += s_.config.eval.batch_size) {
      if (view.stop.requested()) return;
      const auto batch =
          collate(sampler, *s_.validation, static_cast<std::uint64_t>(at), std::min(s_.config.eval.batch_size, windows - at), s_.collation);
      batch_loss(view.model, batch, StepCounts({&batch, 1}), {.documents = batch.documents, .token_types = batch.token_types}, 0,
                 predictions);
    }
    nll_ = predictions.loss();
    nlohmann::json record{{"type", "eval"}, {"step", view.step}, {"nll", nll_}, {"tokens", predictions.tokens.count}};
    add_predictions(record, predictions);
    view.log.append(record);
    note(fmt::format("step {:>6}  train loss {:.4f}  validation loss {:.4f}  accuracy {:.1f}%{}  {}", view.step, view.loss, nll_,
                     100 * predictions.tokens.accuracy(),
                     predictions.pairs.count > 0 ? fmt::format("  pairs {:.1f}%", 100 * predictions.pairs.accuracy()) : "",
                     duration_text(s_.state.seconds)));
  }

  void evaluate_text(const StepView& view) {
    const auto context = s_.config.train.context;
    TextScore score;
    try {
      score = score_text(view.model, token_text(*s_.validation, s_.config.data.document_mask), s_.byte_counts,
                         {.context = context + 1,
                          .stride = context,
                          .batch_size = s_.config.eval.batch_size,
                          .max_windows = s_.config.eval.max_windows,
                          .stop_requested = [&] { return view.stop.requested(); }});
    } catch (const Interrupted&) {
      return;
    }
    nll_ = score.nll(), bits_per_byte_ = score.bits_per_byte();
    view.log.append({{"type", "eval"},
                     {"step", view.step},
                     {"nll", nll_},
                     {"accuracy", score.accuracy()},
                     {"bits_per_byte", bits_per_byte_},
                     {"perplexity", score.perplexity()},
                     {"tokens", score.tokens},
                     {"bytes", score.bytes}});
    note(fmt::format("step {:>6}  train loss {:.4f}  validation loss {:.4f}  {:.4f} bits per byte  {}", view.step, view.loss, nll_,
                     bits_per_byte_, duration_text(s_.state.seconds)));
  }

  const Session& s_;
  std::int64_t evaluated_at_ = -1;
  double nll_ = std::numeric_limits<double>::quiet_NaN(), bits_per_byte_ = std::numeric_limits<double>::quiet_NaN();
};

const ObserverKind evaluation_observer{[](const Session& session) -> std::unique_ptr<Observer> {
  return session.validation && session.config.observe.evaluation > 0 ? std::make_unique<Evaluation>(session) : nullptr;
}};

}  // namespace
}  // namespace isotrope

// What the run's objective says of data that it has not seen: the record `eval`.
#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/train/observer.h"
#include "isotrope/train/session.h"

namespace isotrope {

namespace {

class Evaluation final : public Observer {
 public:
  explicit Evaluation(const Session& session) : s_(session) {}
  std::string_view name() const override { return "evaluation"; }
  bool wants(std::int64_t step) const override { return step % s_.config.observe.evaluation == 0; }

  void after_update(const StepView& view) override {
    evaluated_at_ = view.step;
    Measures measures;
    try {
      s_.objective->evaluate(view.model, [&] { return view.stop.requested(); }, measures);
    } catch (const Interrupted&) {
      return;
    }
    found_ = {{"nll", measures.loss()}};
    measures.write(found_);
    nlohmann::json record{{"type", "eval"}, {"step", view.step}};
    record.update(found_);
    view.log.append(record);
    note(fmt::format("step {:>6}  train loss {:.4f}  validation loss {:.4f}{}  {}", view.step, view.loss, measures.loss(), measures.text(),
                     duration_text(s_.state.seconds)));
  }
  bool finish(const StepView& view) override {
    const bool due = evaluated_at_ != view.step;
    if (due) after_update(view);
    return due;
  }
  std::map<std::string, double> results() const override {
    std::map<std::string, double> results;
    for (const auto& [key, number] : found_.items()) results["validation_" + key] = number.get<double>();
    return results;
  }

 private:
  const Session& s_;
  std::int64_t evaluated_at_ = -1;
  nlohmann::json found_;  ///< by the last evaluation
};

const ObserverKind evaluation_observer{[](const Session& session) -> std::unique_ptr<Observer> {
  return session.evaluates() ? std::make_unique<Evaluation>(session) : nullptr;
}};

}  // namespace
}  // namespace isotrope

// Weights alone, kept for looking at training later, when checkpoint.archive says so: RUN/archive/step-N, and the record `archive`.
#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"
#include "isotrope/observe/archive_config.h"
#include "isotrope/train/observer.h"
#include "isotrope/train/run_state.h"
#include "isotrope/train/session.h"

namespace isotrope {

namespace {

class Archive final : public Observer {
 public:
  Archive(const Session& session, const ArchiveSchedule& schedule)
      : s_(session), schedule_(schedule), log_steps_(schedule.log_steps(session.config.train.steps)), last_(session.state.step) {}
  std::string_view name() const override { return "archive"; }
  bool wants(std::int64_t step) const override { return schedule_.kind == Kind::loss || planned(step) > last_; }

  void after_update(const StepView& view) override {
    if (schedule_.kind == Kind::loss && (view.empty || !reaches(view.loss))) return;
    last_ = view.step;
    const auto path = "archive/step-" + std::to_string(view.step);
    save_weights(s_.folder / path, view.model, view.parameters.master(), view.parameters, *s_.tokenizer);
    view.log.append({{"type", "archive"}, {"step", view.step}, {"path", path}});
  }

  nlohmann::json state() const override { return {{"last", last_}, {"mean", mean_}, {"weight", weight_}, {"lowest", lowest_}}; }
  void restore(const nlohmann::json& state) override {
    const JsonReader reader(state, "checkpoint", "train_state.json", "observers.archive.");
    last_ = reader.get_int("last"), mean_ = reader.get_number("mean"), weight_ = reader.get_number("weight");
    lowest_ = reader.get_number("lowest");
  }

 private:
  using Kind = ArchiveSchedule::Kind;

  /// The last step up to this one that the schedule names; 0 before the first. One whose step was not finite is made up for by the next.
  std::int64_t planned(std::int64_t step) const {
    if (schedule_.kind == Kind::every) return step / schedule_.number * schedule_.number;
    const auto after = std::ranges::upper_bound(log_steps_, step);
    return after == log_steps_.begin() ? 0 : *(after - 1);
  }

  /// Takes a step's loss into the running mean; whether that has come down to a value for the first time.
  bool reaches(double loss) {
    constexpr double share = 0.1;
    mean_ += share * (loss - mean_), weight_ += share * (1 - weight_);
    const double mean = mean_ / weight_;  // the first steps count in full, not beside a loss of zero
    const double before = lowest_;
    lowest_ = std::min(lowest_, mean);
    return std::ranges::any_of(schedule_.losses, [&](double value) { return mean <= value && value < before; });
  }

  const Session& s_;
  ArchiveSchedule schedule_;
  std::vector<std::int64_t> log_steps_;
  std::int64_t last_;  // archived
  double mean_ = 0, weight_ = 0, lowest_ = 1e300;
};

const ObserverKind archive_observer{[](const Session& session) -> std::unique_ptr<Observer> {
  const auto schedule = parse_archive_schedule(session.config.checkpoint.archive);
  return schedule.kind == ArchiveSchedule::Kind::never ? nullptr : std::make_unique<Archive>(session, schedule);
}};

}  // namespace
}  // namespace isotrope

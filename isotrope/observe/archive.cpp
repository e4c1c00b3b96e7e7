// Weights alone, kept for looking at training later, when checkpoint.archive says so: RUN/archive/step-N, and the record `archive`.
#include <algorithm>
#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/io/model_path.h"
#include "isotrope/observe/archive_config.h"
#include "isotrope/train/observer.h"
#include "isotrope/train/run_state.h"
#include "isotrope/train/session.h"

namespace isotrope {

namespace {

class Archive final : public Observer {
 public:
  Archive(const Session& session, const ArchiveSchedule& schedule)
      : s_(session), schedule_(schedule), steps_(schedule.steps(session.config.train.steps)) {
    if (session.resumed) remove_later();
  }
  std::string_view name() const override { return "archive"; }
  bool wants(std::int64_t step) const override {
    return schedule_.kind == ArchiveSchedule::Kind::loss || std::ranges::binary_search(steps_, step);
  }

  void after_update(const StepView& view) override {
    if (schedule_.kind == ArchiveSchedule::Kind::loss && !reaches(view.loss)) return;
    save_weights(folder() / ("step-" + std::to_string(view.step)), view.model, view.parameters.master(), view.parameters, *s_.tokenizer);
    view.log.append({{"type", "archive"}, {"step", view.step}, {"path", "archive/step-" + std::to_string(view.step)}});
  }

  nlohmann::json state() const override {
    if (schedule_.kind != ArchiveSchedule::Kind::loss) return {};
    return {{"mean", mean_}, {"weight", weight_}, {"reached", lowest_}};
  }
  void restore(const nlohmann::json& state) override {
    mean_ = state.value("mean", 0.0), weight_ = state.value("weight", 0.0), lowest_ = state.value("reached", lowest_);
  }

 private:
  fs::path folder() const { return s_.folder / "archive"; }

  /// Takes a step's loss into the running mean; whether that has come down to a value for the first time.
  bool reaches(double loss) {
    constexpr double share = 0.1;
    mean_ += share * (loss - mean_), weight_ += share * (1 - weight_);
    const double mean = mean_ / weight_;  // the first steps count in full, not beside a loss of zero
    const double before = lowest_;
    lowest_ = std::min(lowest_, mean);
    return std::ranges::any_of(schedule_.losses, [&](double value) { return mean <= value && value < before; });
  }

  /// Those of steps that a resumed run has yet to take: it may take others.
  void remove_later() const {
    for (const auto& [step, path] : step_folders(folder()))
      if (step > static_cast<std::uint64_t>(s_.state.step)) {
        std::error_code error;
        fs::remove_all(path, error);
        if (error) throw WorkError("archive", "{}: cannot be removed: {}", path.string(), error.message());
      }
  }

  const Session& s_;
  ArchiveSchedule schedule_;
  std::vector<std::int64_t> steps_;
  double mean_ = 0, weight_ = 0, lowest_ = 1e300;
};

const ObserverKind registered{[](const Session& session) -> std::unique_ptr<Observer> {
  const auto schedule = parse_archive_schedule(session.config.checkpoint.archive);
  return schedule.kind == ArchiveSchedule::Kind::never ? nullptr : std::make_unique<Archive>(session, schedule);
}};

}  // namespace
}  // namespace isotrope

#pragma once

#include <string>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/base/progress.h"
#include "isotrope/base/stop.h"
#include "isotrope/optim/schedule.h"
#include "isotrope/train/checkpoint_writer.h"
#include "isotrope/train/observer.h"
#include "isotrope/train/session.h"
#include "isotrope/train/step.h"
#include "isotrope/train/train.h"

namespace isotrope {

/// The loop of a run: steps until the plan, the time or a signal ends them, observers and checkpoints between. What is minimised, it does
/// not know.
class Training {
 public:
  Training(Session session, std::vector<Observer*> observers);

  /// Errors: see train().
  TrainResult run();
  /// After an error: the log says how it ended. A log that cannot be written either must not hide the error itself.
  void fail(const std::string& why) noexcept;

 private:
  void step();
  /// What is not finite: "loss", or the first parameter whose gradient is not; empty when all is well. `squares`: of each gradient's norm.
  std::string non_finite_tensor(double loss, const std::vector<double>& squares) const;
  /// A step whose batch asks for nothing (no token was hidden, or every target belongs to another document) changes no weight.
  void skip_empty();
  void skip_non_finite(const std::string& tensor, double loss, double grad_norm);
  /// Ends a run whose last steps were not finite: nothing of its present state is saved over a good checkpoint.
  [[noreturn]] void give_up(ExitCode code);

  void announce();
  void log_rules();  ///< which rule serves which parameters, once a session
  void record_step(const StepOutcome& outcome, const StepView& seen, double seconds, double optimizer_seconds);
  void end(const char* reason);

  /// Of a step that has found these numbers.
  StepView view(double loss, double lr, double grad_norm, double gradient_scale, bool empty = false);
  /// Where no step has found any: the loss is that of the last one that did.
  StepView last_view() { return view(result_.loss, 0, 0, 1, /*empty=*/true); }
  void keep_observers() { s_.state.observers = observers_.state(); }
  bool due(std::int64_t every) const { return every > 0 && s_.state.step % every == 0; }

  Session s_;
  StopRequest stop_;
  Observers observers_;
  Schedule schedule_;
  CheckpointWriter checkpoints_;
  Progress progress_;
  double smoothed_speed_ = 0;
  TrainResult result_;
};

}  // namespace isotrope

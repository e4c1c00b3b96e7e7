#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/base/stop.h"
#include "isotrope/models/model.h"
#include "isotrope/optim/optimizer.h"
#include "isotrope/runlog/run_log.h"
#include "isotrope/train/objective.h"

namespace isotrope {

struct Session;

/// A step as observers see it. Valid only during the call: buffers are used again.
struct StepView {
  std::int64_t step;                           ///< steps taken, this one included
  double loss, lr, grad_norm, gradient_scale;  ///< the norm before clipping, and the factor of clipping
  bool empty;                                  ///< the batch asked for nothing and no weight has moved: before_update was not called
  Model& model;                                ///< for forward passes
  const FlatParameters& parameters;
  const Gradients& gradients;  ///< of this step, before clipping
  const Optimizer& optimizer;
  const Objective& objective;
  RunLog& log;
  const StopRequest& stop;  ///< what takes long looks at it, and gives up without a record
};

/// What watches a run, on the training thread, on a schedule of its own. It changes nothing of what it sees: a run ends with the same
/// weights whether it is watched or not. For a backward pass of its own it makes Gradients of its own and gives them to
/// compute_gradients() (train/step.h); the step's stay as they are. Elsewhere no gradient is recorded. Steps whose loss or gradient is not
/// finite are not shown.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual std::string_view name() const = 0;        ///< its key in `[observe]`, if it has one; in the log beside what it cost
  virtual bool wants(std::int64_t step) const = 0;  ///< whether the next two are called at this step
  virtual void before_update(const StepView&) {}    ///< gradients are there and finite, weights and moments those from before the step
  virtual void after_update(const StepView&) {}     ///< the `step` record is written
  virtual bool finish(const StepView&) { return false; }  ///< once, when the run has taken its last step; whether it has looked again
  virtual nlohmann::json state() const { return {}; }     ///< kept with every checkpoint; null: nothing
  virtual void restore(const nlohmann::json&) {}          ///< what state() gave, when a run is resumed; InputError for anything else
  virtual std::map<std::string, double> results() const { return {}; }  ///< what TrainResult::measures should have of it
};

/// A file of observe/ that makes an observer registers it: `const ObserverKind samples_observer{…}`. `make` gives null where the configuration
/// does not ask for it.
struct ObserverKind {
  std::unique_ptr<Observer> (*make)(const Session&);
  explicit ObserverKind(decltype(make) make);
};

/// All observers of a run, and what they cost.
class Observers {
 public:
  /// Those that the session's configuration asks for, by name, then `more`. The session must outlive them.
  Observers(const Session& session, std::vector<Observer*> more);

  void before_update(const StepView& view);
  void after_update(const StepView& view);
  void finish(const StepView& view);
  nlohmann::json state() const;               ///< {NAME: …} of those that have one
  void restore(const nlohmann::json& state);  ///< of those that are there now
  std::map<std::string, double> results() const;
  nlohmann::json costs() const;   ///< {NAME: {"times": …, "seconds": …}} of those that have looked
  std::string cost_text() const;  ///< the same for a reader; empty where none has looked

 private:
  struct Watched {
    Observer* observer;
    std::int64_t times = 0;
    double seconds = 0;
  };
  /// Calls it for each observer, which counts as a look where it says so.
  void each(const std::function<bool(Observer&)>& call);

  std::vector<std::unique_ptr<Observer>> made_;
  std::vector<Watched> all_;
};

}  // namespace isotrope

#include "isotrope/train/observer.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>

#include "isotrope/base/error.h"
#include "isotrope/base/progress.h"

namespace isotrope {

namespace {

std::vector<const ObserverKind*>& registry() {
  static std::vector<const ObserverKind*> kinds;
  return kinds;
}

}  // namespace

ObserverKind::ObserverKind(decltype(make) make_) : make(make_) { registry().push_back(this); }

Observers::Observers(const Session& session, std::vector<Observer*> more) {
  for (const auto* kind : registry())
    if (auto observer = kind->make(session)) made_.push_back(std::move(observer));
  std::ranges::sort(made_, {}, [](const auto& observer) { return observer->name(); });
  for (const auto& observer : made_) all_.push_back({observer.get()});
  for (auto* observer : more) all_.push_back({observer});
}

void Observers::each(const std::function<bool(Observer&)>& call) {
  const at::NoGradGuard no_grad;  // the head's gradient is made in forward passes: it would be added to the step's
  for (auto& [observer, times, seconds] : all_) {
    const auto begun = std::chrono::steady_clock::now();
    times += call(*observer);
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }
}

void Observers::before_update(const StepView& view) {
  each([&](Observer& observer) {
    if (observer.wants(view.step)) observer.before_update(view);
    return false;
  });
}

void Observers::after_update(const StepView& view) {
  each([&](Observer& observer) {
    const bool wanted = observer.wants(view.step);
    if (wanted) observer.after_update(view);
    return wanted;
  });
}

void Observers::finish(const StepView& view) {
  each([&](Observer& observer) { return observer.finish(view); });
}

nlohmann::json Observers::state() const {
  auto all = nlohmann::json::object();
  for (const auto& watched : all_)
    if (auto state = watched.observer->state(); !state.is_null()) all[std::string(watched.observer->name())] = std::move(state);
  return all;
}

void Observers::restore(const nlohmann::json& state) {
  for (const auto& watched : all_)
    if (const auto found = state.find(std::string(watched.observer->name())); found != state.end()) watched.observer->restore(*found);
}

std::map<std::string, double> Observers::results() const {
  std::map<std::string, double> all;
  for (const auto& watched : all_) all.merge(watched.observer->results());
  return all;
}

nlohmann::json Observers::costs() const {
  auto costs = nlohmann::json::object();
  for (const auto& [observer, times, seconds] : all_)
    if (times > 0) costs[std::string(observer->name())] = {{"times", times}, {"seconds", seconds}};
  return costs;
}

std::string Observers::cost_text() const {
  std::string text;
  for (const auto& [observer, times, seconds] : all_)
    if (times > 0)
      text += fmt::format("{}{} {} ({} × {})", text.empty() ? "" : ", ", observer->name(), short_duration_text(seconds), times,
                          short_duration_text(seconds / static_cast<double>(times)));
  return text;
}

}  // namespace isotrope

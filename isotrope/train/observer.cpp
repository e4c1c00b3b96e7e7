#include "isotrope/train/observer.h"

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

template <class Call>
void Observers::each(const StepView& view, bool counts, bool always, Call call) {
  for (auto& [observer, times, seconds] : all_) {
    if (!always && !observer->wants(view.step)) continue;
    const auto begun = std::chrono::steady_clock::now();
    call(*observer);
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    times += counts;
  }
}

void Observers::before_update(const StepView& view) {
  each(view, false, false, [&](Observer& observer) { observer.before_update(view); });
}

void Observers::after_update(const StepView& view) {
  each(view, true, false, [&](Observer& observer) { observer.after_update(view); });
}

void Observers::finish(const StepView& view) {
  each(view, false, true, [&](Observer& observer) { observer.finish(view); });
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

#include "isotrope/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "isotrope/base/error.h"

namespace isotrope {

Schedule::Schedule(const ScheduleOptions& o) : shape_(o.shape), warmup_(o.warmup_steps), steps_(o.steps), last_(o.min_lr_factor) {
  decay_ = o.decay_steps > 0 ? o.decay_steps : std::min(std::max<std::int64_t>(1, steps_ / 5), steps_ - warmup_);
  if (shape_ == ScheduleShape::exponential && last_ <= 0)
    throw UsageError("config", "schedule.min_lr_factor must be above 0 for an exponential decay");
}

double Schedule::factor(std::int64_t step) const {
  if (step < warmup_) return static_cast<double>(step + 1) / static_cast<double>(warmup_);
  if (shape_ == ScheduleShape::constant) return 1.0;
  const auto begin = shape_ == ScheduleShape::cosine ? warmup_ : steps_ - decay_;
  const double progress =
      std::clamp(static_cast<double>(step - begin) / static_cast<double>(std::max<std::int64_t>(1, steps_ - begin)), 0.0, 1.0);
  switch (shape_) {
    case ScheduleShape::cosine: return last_ + 0.5 * (1.0 + std::cos(std::numbers::pi * progress)) * (1.0 - last_);
    case ScheduleShape::wsd_linear: return 1.0 - (1.0 - last_) * progress;
    case ScheduleShape::wsd_sqrt: return 1.0 - (1.0 - last_) * std::sqrt(progress);
    case ScheduleShape::exponential: return std::pow(last_, progress);
    case ScheduleShape::constant: break;
  }
  return 1.0;
}

}  // namespace isotrope

#pragma once

#include <cstdint>

namespace isotrope {

enum class ScheduleShape { constant, cosine, wsd_linear, wsd_sqrt, exponential };

struct ScheduleOptions {
  ScheduleShape shape = ScheduleShape::cosine;
  std::int64_t steps = 1, warmup_steps = 0;
  std::int64_t decay_steps = 0;  ///< of wsd and exponential; 0: a fifth of the run
  double min_lr_factor = 0;      ///< the last fraction
};

/// The learning rate of step t (from 0) as a fraction of the peak. With W warm-up steps, N steps, D decay steps, f the last fraction:
///   warm-up      (t + 1) / W                                          t < W
///   constant     1
///   cosine       f + ½ (1 + cos(π p)) (1 − f)                         p = (t − W) / (N − W)
///   wsd          1, then 1 − (1 − f) p  or  1 − (1 − f) √p            p = (t − (N − D)) / D in the last D steps
///   exponential  1, then f^p                                          likewise; f > 0
class Schedule {
 public:
  /// Throws UsageError for an exponential decay to zero.
  explicit Schedule(const ScheduleOptions& options);
  double factor(std::int64_t step) const;

 private:
  ScheduleShape shape_;
  std::int64_t warmup_, steps_, decay_;
  double last_;
};

}  // namespace isotrope

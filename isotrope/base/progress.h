#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace isotrope {

/// One updating line on stderr: `what  42% 1234/3000  detail  ETA 1m20s`. Silent when stderr is not a terminal or when quiet.
/// Redraws at most ten times a second, so update() may be called from a hot loop of one thread.
class Progress {
 public:
  /// total ≤ 0: unknown, no percentage and no ETA. `unit` follows the counts ("steps", "MB").
  Progress(std::string what, std::int64_t total, std::string unit = "");
  Progress(const Progress&) = delete;
  /// Clears the line.
  ~Progress();
  void update(std::int64_t done, std::string_view detail = "");
  bool visible() const { return visible_; }

 private:
  std::string what_, unit_;
  std::int64_t total_, first_ = -1;
  bool visible_;
  std::chrono::steady_clock::time_point started_, drawn_{};
};

/// `1h02m`, `3m20s`, `12s`.
std::string duration_text(double seconds);
/// The same below a minute with more than whole seconds: `1.65 s`, `280 ms`.
std::string short_duration_text(double seconds);
/// `1.5 GB`, `640 B`: decimal units.
std::string bytes_text(double bytes);
/// `3.21 M`, `124 k`: counts of parameters and tokens.
std::string count_text(double count);

}  // namespace isotrope

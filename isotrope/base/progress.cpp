#include "isotrope/base/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"

namespace isotrope {

namespace {

std::atomic<bool> line_open{false};

void clear_line() {
  if (line_open.exchange(false)) std::fputs("\r\x1b[K", stderr);
}

std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

Progress::Progress(std::string what, std::int64_t total, std::string unit)
    : what_(std::move(what)), unit_(std::move(unit)), total_(total), started_(std::chrono::steady_clock::now()) {
  visible_ = ::isatty(STDERR_FILENO) && verbosity() != Verbosity::quiet;
  if (visible_) set_line_breaker(clear_line);
}

Progress::~Progress() {
  if (visible_) clear_line();
}

void Progress::update(std::int64_t done, std::string_view detail) {
  if (!visible_) return;
  const auto now = std::chrono::steady_clock::now();
  if (first_ < 0) first_ = done, started_ = now;  // the time before is that of getting ready
  if (now - drawn_ < std::chrono::milliseconds(100) && done != total_) return;
  drawn_ = now;
  std::string line = what_;
  if (total_ > 0) line += fmt::format("  {:3.0f}%", 100.0 * static_cast<double>(done) / static_cast<double>(total_));
  line += fmt::format("  {}{} {}", done, total_ > 0 ? fmt::format("/{}", total_) : "", unit_);
  if (!detail.empty()) line += fmt::format("  {}", detail);
  const double elapsed = std::chrono::duration<double>(now - started_).count();
  if (total_ > 0 && done > first_ && elapsed > 1)
    line += "  ETA " + duration_text(elapsed / static_cast<double>(done - first_) * static_cast<double>(total_ - done));
  if (line.size() >= terminal_width()) line.resize(terminal_width() - 1);
  std::fputs(("\r\x1b[K" + line).c_str(), stderr);
  std::fflush(stderr);
  line_open = true;
}

std::string duration_text(double seconds) {
  const auto total = static_cast<std::int64_t>(std::max(0.0, seconds) + 0.5);
  if (total >= 3600) return fmt::format("{}h{:02}m", total / 3600, total % 3600 / 60);
  if (total >= 60) return fmt::format("{}m{:02}s", total / 60, total % 60);
  return fmt::format("{}s", total);
}

std::string short_duration_text(double seconds) {
  return seconds < 1 ? fmt::format("{:.3g} ms", seconds * 1e3) : seconds < 60 ? fmt::format("{:.3g} s", seconds) : duration_text(seconds);
}

namespace {

std::string scaled(double value, std::initializer_list<const char*> units) {
  auto unit = units.begin();
  while (value >= 999.5 && unit + 1 != units.end()) value /= 1000, ++unit;
  return unit == units.begin() ? fmt::format("{:.0f}{}", value, *unit) : fmt::format("{:.3g}{}", value, *unit);
}

}  // namespace

std::string bytes_text(double bytes) { return scaled(bytes, {" B", " kB", " MB", " GB", " TB"}); }
std::string count_text(double count) { return scaled(count, {"", " k", " M", " B", " T"}); }

}  // namespace isotrope

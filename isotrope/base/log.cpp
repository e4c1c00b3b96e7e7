#include "isotrope/base/log.h"

#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>

namespace isotrope {

namespace {

std::atomic<Verbosity> level{Verbosity::normal};
std::atomic<void (*)()> line_breaker{nullptr};

void print(std::string line) {
  if (auto* breaker = line_breaker.load()) breaker();
  line += '\n';
  std::fputs(line.c_str(), stderr);
}

}  // namespace

void set_verbosity(Verbosity verbosity) { level = verbosity; }
Verbosity verbosity() { return level; }
void set_line_breaker(void (*breaker)()) { line_breaker = breaker; }

void warn(std::string_view message) { print("warning: " + std::string(message)); }

void warn_once(std::string_view key, std::string_view message) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> seen;
  {
    const std::lock_guard lock(mutex);
    if (!seen.emplace(key).second) return;
  }
  warn(message);
}

void note(std::string_view message) {
  if (level != Verbosity::quiet) print(std::string(message));
}

}  // namespace isotrope

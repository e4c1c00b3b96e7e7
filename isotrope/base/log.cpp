#include "isotrope/base/log.h"

#include <fmt/format.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>

namespace isotrope {

namespace {

std::atomic<Verbosity> level{Verbosity::normal};
std::atomic<void (*)()> line_breaker{nullptr};

void print(std::string_view text) {
  if (auto* breaker = line_breaker.load()) breaker();
  const auto line = printable(text) + '\n';
  std::fputs(line.c_str(), stderr);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]), next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : c;
    if (c == 0xC2 && next >= 0x80 && next < 0xA0) {
      out += fmt::format("\\x{:02x}", next);
      ++i;
    } else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += text[i];
    }
  }
  return out;
}

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
  if (level != Verbosity::quiet) print(message);
}

}  // namespace isotrope

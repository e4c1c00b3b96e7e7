#include "app/output.h"

#include <sched.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace isotrope::app {

int thread_count(const CommonOptions& options) {
  if (options.threads > 0) return options.threads;
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

/// Control characters above U+007E as escapes, which JSON leaves to the writer: those below are escaped anyway.
void print_json(const nlohmann::json& object) {
  const auto text = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string safe;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : byte;
    if (byte == 0x7F) safe += "\\u007f";
    else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) safe += fmt::format("\\u{:04x}", next), ++i;
    else safe += text[i];
  }
  std::puts(safe.c_str());
}

}  // namespace isotrope::app

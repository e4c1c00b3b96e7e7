#include "app/output.h"

#include <sched.h>

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

void print_json(const nlohmann::json& object) { std::puts(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str()); }

}  // namespace isotrope::app

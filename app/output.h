#pragma once

#include <nlohmann/json_fwd.hpp>

#include "app/common.h"

namespace isotrope::app {

// What the program and the engine's module share: compiled into both.

/// `options.threads`, or the number of cores this process may use when 0.
int thread_count(const CommonOptions& options);

/// The object on one line of stdout: what --json promises.
void print_json(const nlohmann::json& object);

}  // namespace isotrope::app

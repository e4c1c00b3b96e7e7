#pragma once

#include <nlohmann/json.hpp>

#include "isotrope/optim/flat_parameters.h"

namespace isotrope {

/// The root mean square of the master weights, by parameter class and of every matrix, embedding and head:
/// {"rms": {"matrix": …}, "matrices": {"model.layers.0.self_attn.q_proj.weight": …}} (docs/formats/run_log.md).
nlohmann::json weight_norms(FlatParameters& parameters);

}  // namespace isotrope

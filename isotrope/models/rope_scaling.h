#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "isotrope/nn/positions.h"

namespace isotrope {

/// From config.json: rope_theta and rope_scaling at the top level, or rope_parameters (transformers ≥ 5). InputError names an unsupported type.
/// `theta_key`: the family's older name of the base.
RopeScaling read_rope_scaling(const nlohmann::json& config, const std::string& name, const std::string& theta_key = "rope_theta");

}  // namespace isotrope

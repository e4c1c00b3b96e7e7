#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "isotrope/nn/positions.h"

namespace isotrope {

struct RopeFields {
  const char* theta = "rope_theta";  ///< the family's older name of the base
  bool partial = false;              ///< partial_rotary_factor is read by the family
};

/// From config.json: rope_theta and rope_scaling at the top level, or rope_parameters (transformers ≥ 5). InputError for an unsupported
/// type, a key that asks for something else, a number out of range, and both names with different contents.
/// Warns of keys that decide nothing in type default, as transformers does.
RopeScaling read_rope_scaling(const nlohmann::json& config, const std::string& name, const RopeFields& fields = {});

/// partial_rotary_factor there, or `otherwise`.
double read_rotary_part(const nlohmann::json& config, const std::string& name, double otherwise);

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace isotrope {

/// What one update rule serves, for tables: `isotrope plan`, the log.
struct RuleShare {
  std::string rule;
  double lr_factor = 1, weight_decay = 0;
  std::vector<std::string> parameters;
  std::int64_t numbers = 0, state_bytes = 0;
};

/// "muon: 28 tensors, 7.08 M numbers, decay 0.1, state 28.3 MB".
std::string text_of(const RuleShare& share);
/// "model.layers.*.mlp.up_proj.weight (4), …": the parameters, those of all layers taken together.
std::string names_of(const RuleShare& share);

/// [{"rule", "lr_factor", "weight_decay", "numbers", "state_bytes", "parameters": […]}, …] (docs/formats/run_log.md), and back.
/// Throws InputError naming `file` for anything else.
nlohmann::json to_json(const std::vector<RuleShare>& shares);
std::vector<RuleShare> rule_shares(const nlohmann::json& json, const std::string& file);

}  // namespace isotrope

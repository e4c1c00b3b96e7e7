#include "isotrope/models/rope_scaling.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/io/json.h"

namespace isotrope {

namespace {

double positive(double value, const char* key, const std::string& name) {
  if (!(value > 0) || std::isinf(value)) throw InputError("model", "{}: {} = {} is not above 0", name, key, value);
  return value;
}

/// InputError for a key that asks for something which is not built.
void check_keys(const nlohmann::json& inner, const RopeScaling& scaling, const std::string& name, bool partial) {
  std::vector<std::string> known{"rope_theta", "rope_type", "type"};
  if (scaling.type != "default") known.push_back("factor");
  if (scaling.type == "llama3") known.insert(known.end(), {"low_freq_factor", "high_freq_factor"});
  // What transformers notes for other kinds beside it.
  known.push_back("original_max_position_embeddings");
  if (partial) known.push_back("partial_rotary_factor");
  for (const auto& [key, value] : inner.items()) {
    const bool nothing = value.is_null() || ((key == "partial_rotary_factor" || key == "factor") && value == 1);
    if (nothing || std::ranges::find(known, key) != known.end()) continue;
    if (scaling.type == "default" && key != "partial_rotary_factor")
      warn_once("rope " + name + key, fmt::format("[model] {}: {} has no effect in RoPE scaling of type default", name, key));
    else
      throw InputError("model", "{}: {} = {} is not supported in RoPE scaling of type {} (known: {})", name, key, value.dump(),
                       scaling.type, fmt::join(known, ", "));
  }
}

/// The object of this name, where it says anything.
std::optional<JsonReader> object_of(const JsonReader& top, const char* key) {
  if (!top.has(key)) return std::nullopt;
  auto inner = top.get_object(key);
  return inner.object().empty() ? std::nullopt : std::optional(std::move(inner));
}

RopeScaling read_object(const JsonReader& inner, double theta, const std::string& name, bool partial) {
  RopeScaling scaling{.theta = positive(inner.get_number("rope_theta", theta), "rope_theta", name)};
  scaling.type = inner.get_string("rope_type", inner.get_string("type", "default"));
  if (scaling.type != "default" && scaling.type != "linear" && scaling.type != "llama3")
    throw InputError("model", "{}: RoPE scaling \"{}\" is not supported (default, linear, llama3)", name, scaling.type);
  check_keys(inner.object(), scaling, name, partial);
  if (scaling.type == "default") return scaling;
  scaling.factor = positive(inner.get_number("factor"), "factor", name);
  if (scaling.type == "linear") return scaling;
  scaling.low_freq_factor = positive(inner.get_number("low_freq_factor"), "low_freq_factor", name);
  scaling.high_freq_factor = positive(inner.get_number("high_freq_factor"), "high_freq_factor", name);
  scaling.original_max_positions = inner.get_int("original_max_position_embeddings");
  if (scaling.high_freq_factor <= scaling.low_freq_factor || scaling.original_max_positions < 1)
    throw InputError("model", "{}: llama3 needs high_freq_factor above low_freq_factor and a length from 1 on, got {}, {} and {}", name,
                     scaling.high_freq_factor, scaling.low_freq_factor, scaling.original_max_positions);
  return scaling;
}

}  // namespace

RopeScaling read_rope_scaling(const nlohmann::json& config, const std::string& name, const RopeFields& fields) {
  const JsonReader top(config, "model", name);
  const auto newer = object_of(top, "rope_parameters"), older = object_of(top, "rope_scaling");
  const RopeScaling plain{.theta = positive(top.get_number(fields.theta, RopeScaling{}.theta), fields.theta, name)};
  const auto scaling = newer ? read_object(*newer, plain.theta, name, fields.partial) : plain;
  if (!older) return scaling;
  const auto other = read_object(*older, scaling.theta, name, fields.partial);
  const auto part = read_rotary_part(config, name, 1);
  if (newer && (scaling != other || older->get_number("partial_rotary_factor", part) != part))
    throw InputError("model", "{}: rope_parameters and rope_scaling are two names of one field, and differ", name);
  return other;
}

double read_rotary_part(const nlohmann::json& config, const std::string& name, double otherwise) {
  const JsonReader top(config, "model", name);
  for (const auto* key : {"rope_parameters", "rope_scaling"})
    if (const auto inner = object_of(top, key); inner && inner->has("partial_rotary_factor"))
      return inner->get_number("partial_rotary_factor");
  return otherwise;
}

}  // namespace isotrope

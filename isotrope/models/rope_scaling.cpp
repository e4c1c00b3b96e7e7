#include "isotrope/models/rope_scaling.h"

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"

namespace isotrope {

RopeScaling read_rope_scaling(const nlohmann::json& config, const std::string& name, const std::string& theta_key) {
  const JsonReader top(config, "model", name);
  RopeScaling scaling;
  const bool nested = top.has("rope_parameters");
  scaling.theta = top.get_number(theta_key, scaling.theta);
  if (!nested && !top.has("rope_scaling")) return scaling;
  const auto inner = top.get_object(nested ? "rope_parameters" : "rope_scaling");
  scaling.theta = inner.get_number("rope_theta", scaling.theta);
  scaling.type = inner.get_string("rope_type", inner.get_string("type", "default"));
  if (scaling.type != "default" && scaling.type != "linear" && scaling.type != "llama3")
    throw InputError("model", "{}: RoPE scaling \"{}\" is not supported (default, linear, llama3)", name, scaling.type);
  if (scaling.type == "default") return scaling;
  scaling.factor = inner.get_number("factor");
  if (scaling.type == "llama3") {
    scaling.low_freq_factor = inner.get_number("low_freq_factor");
    scaling.high_freq_factor = inner.get_number("high_freq_factor");
    scaling.original_max_positions = inner.get_int("original_max_position_embeddings");
  }
  return scaling;
}

}  // namespace isotrope

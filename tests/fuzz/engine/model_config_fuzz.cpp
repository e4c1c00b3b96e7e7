// Any JSON as a model's config.json: a model, whose parameters take no memory here, or an error of ours. Needs the engine.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/models/registry.h"

namespace {

/// Layers cost time alone: many of them find nothing that a few do not.
bool has_many_layers(const nlohmann::json& config) {
  for (const auto* key : {"num_hidden_layers", "n_layer", "n_layers", "inner_group_num", "num_hidden_groups", "num_highway_layers"})
    if (const auto found = config.find(key); found != config.end() && found->is_number() && found->get<double>() > 8) return true;
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  isotrope::set_verbosity(isotrope::Verbosity::quiet);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config =
      nlohmann::json::parse(std::string_view(reinterpret_cast<const char*>(data), size), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object() || has_many_layers(config)) return 0;
  try {
    isotrope::make_model(config, {.device = at::kMeta}, "config.json");
  } catch (const isotrope::Error&) {
    // what wrong configs are answered with
  }
  return 0;
}

// Qwen3: Llama with an RMSNorm over each head of queries and keys, and a head size of its own; some layers may see a sliding window.
// Source: Yang et al. 2025 (arXiv 2505.09388); names as in transformers' Qwen3ForCausalLM.
#include "isotrope/base/error.h"
#include "isotrope/models/llama_like.h"

namespace isotrope {

namespace {

/// Which layers slide: those that `layer_types` names, else those from `max_window_layers` on.
std::vector<std::optional<std::int64_t>> read_windows(ConfigFields& fields, std::int64_t layers) {
  // null means no window, a field that is not there 4096.
  const bool used =
      fields.boolean("use_sliding_window", false) && (!fields.json().contains("sliding_window") || fields.has("sliding_window"));
  const auto from = fields.integer("max_window_layers", 28, 0), sliding_window = fields.integer("sliding_window", 4096);
  const auto slides = fields.sliding_layers(layers, [&](std::int64_t layer) { return layer >= from; });
  std::vector<std::optional<std::int64_t>> windows(slides.size());
  for (std::size_t i = 0; i < windows.size(); ++i)
    if (used && slides[i]) windows[i] = sliding_window - 1;
  return windows;
}

const Family qwen3_family{
    "qwen3", {"Qwen3ForCausalLM", "Qwen3ForSequenceClassification", "Qwen3Model"}, [](ConfigFields& fields, const ModelOptions& options) {
      auto config = read_llama_like(fields, {.head_dim = 128, .kv_heads = 32, .max_positions = 32768});
      config.qk_norm = true;
      config.qkv_bias = config.output_bias = fields.boolean("attention_bias", false);
      config.windows = read_windows(fields, config.num_hidden_layers);
      return make_llama_like(fields, options, std::move(config));
    }};

}  // namespace
}  // namespace isotrope

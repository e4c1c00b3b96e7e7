// Mistral: Llama whose tokens see a sliding window of those before them; no biases.
// Source: Jiang et al. 2023 (arXiv 2310.06825); names as in transformers' MistralForCausalLM.
#include "isotrope/models/llama_like.h"

namespace isotrope {

namespace {

const Family mistral_family{"mistral",
                            {"MistralForCausalLM", "MistralForSequenceClassification", "MistralModel"},
                            [](ConfigFields& fields, const ModelOptions& options) {
                              auto config = read_llama_like(fields, {.kv_heads = 8, .max_positions = 131072});
                              // null, as later versions have it, means no window; a field that is not there means 4096.
                              const bool windowed = !fields.json().contains("sliding_window") || fields.has("sliding_window");
                              const auto sliding_window = fields.integer("sliding_window", 4096);
                              if (windowed) config.windows.assign(static_cast<std::size_t>(config.num_hidden_layers), sliding_window - 1);
                              return make_llama_like(fields, options, std::move(config));
                            }};

}  // namespace
}  // namespace isotrope

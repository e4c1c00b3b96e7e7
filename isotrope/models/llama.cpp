// Llama 2 and 3.x, SmolLM2: optional biases, tied or untied head.
// Source: Touvron et al. 2023 (arXiv 2302.13971), Grattafiori et al. 2024 (arXiv 2407.21783); names as in transformers' LlamaForCausalLM.
#include "isotrope/models/llama_like.h"

namespace isotrope {

namespace {

const Family llama_family{
    "llama", {"LlamaForCausalLM", "LlamaForSequenceClassification", "LlamaModel"}, [](ConfigFields& fields, const ModelOptions& options) {
      auto config = read_llama_like(fields);
      config.qkv_bias = config.output_bias = fields.boolean("attention_bias", false);
      config.mlp_bias = fields.boolean("mlp_bias", false);
      fields.only("pretraining_tp", 1);
      return make_llama_like(fields, options, std::move(config));
    }};

}  // namespace
}  // namespace isotrope

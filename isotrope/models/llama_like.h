#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "isotrope/models/registry.h"

namespace isotrope {

/// What Llama and its descendants have in common: RMSNorm before each half of a block, rotary positions, grouped-query attention, SwiGLU. A
/// family reads its own config.json into this; names of tensors are transformers' LlamaForCausalLM's.
struct LlamaLikeConfig {
  std::int64_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim, vocab_size,
      max_position_embeddings;
  double rms_norm_eps, initializer_range, attention_dropout = 0;
  bool tie_word_embeddings = false, qkv_bias = false, output_bias = false, mlp_bias = false;
  bool qk_norm = false;                                   ///< an RMSNorm over each head of q and k before the rotation (Qwen3)
  std::vector<std::optional<std::int64_t>> windows = {};  ///< of each layer's attention, where it slides; empty: everything is seen
};

/// What a family takes where config.json says nothing, as transformers does.
struct LlamaLikeDefaults {
  std::int64_t head_dim = 0;  ///< 0: hidden_size / num_attention_heads
  std::int64_t kv_heads = 0;  ///< 0: num_attention_heads
  std::int64_t max_positions = 2048;
};

/// The fields that all of them share; InputError where heads do not share keys, or head_dim is odd.
LlamaLikeConfig read_llama_like(ConfigFields& fields, const LlamaLikeDefaults& defaults = {});

std::unique_ptr<Model> make_llama_like(ConfigFields& fields, const ModelOptions& options, LlamaLikeConfig config);

}  // namespace isotrope

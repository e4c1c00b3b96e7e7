#pragma once

#include <functional>
#include <span>
#include <vector>

#include "isotrope/infer/sampling.h"
#include "isotrope/models/model.h"

namespace isotrope {

struct GenerationOptions {
  std::int64_t max_tokens = 128;
  SamplingOptions sampling;
  std::uint64_t seed = 0;
  std::vector<TokenId> stop_ids;  ///< end-of-text tokens: generation ends, the token is not part of the answer
  std::int64_t vocab_size = 0;    ///< ids from here on are never chosen (a model padded past its tokenizer); 0: the model's own
  bool slide = false;             ///< past the model's positions: go on with the last half of the context; false: an error beforehand
};

/// Tokens that follow `prompt` (not repeated in the answer), one forward pass a token with a key-value cache. Each token is a function of
/// (seed, its number). `on_token` sees each as it comes and may end generation by returning false.
/// Throws InputError for an empty prompt, an id out of range, and a prompt that with max_tokens exceeds the positions (unless `slide`).
std::vector<TokenId> generate(Model& model, std::span<const TokenId> prompt, const GenerationOptions& options,
                              const std::function<bool(TokenId)>& on_token = {});

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "isotrope/base/random.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// How the next token is chosen. The filters apply in this order, as in transformers: repetition penalty, temperature, top-k, top-p, min-p.
struct SamplingOptions {
  double temperature = 1.0;         ///< 0: the likeliest token (greedy); the first of equals
  std::int64_t top_k = 0;           ///< keep the k likeliest; 0: all
  double top_p = 1.0;               ///< keep the smallest set of likeliest tokens with at least this much probability
  double min_p = 0.0;               ///< keep tokens at least this fraction as likely as the likeliest
  double repetition_penalty = 1.0;  ///< logits of tokens seen before: divided when positive, multiplied when negative (Keskar et al. 2019)
};

/// Throws UsageError for an option outside its range.
void check(const SamplingOptions& options);

/// Chooses from `logits` (changed in place) given the tokens so far.
TokenId choose_token(std::span<float> logits, std::span<const TokenId> history, const SamplingOptions& options, RandomStream& random);

}  // namespace isotrope

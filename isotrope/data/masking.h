#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "isotrope/base/random.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// How tokens are hidden from a model that has to find them again (masked language modelling, Devlin et al. 2019).
struct MaskingOptions {
  double rate = 0.15;         ///< of the tokens, special ones apart, that are chosen
  double mask_share = 0.8;    ///< of the chosen, replaced by the mask
  double random_share = 0.1;  ///< of the chosen, replaced by a random token; the others stay as they are
  TokenId mask = 0;
  std::vector<bool> special;      ///< by id: never chosen, and never drawn as a random token
  std::vector<bool> starts_word;  ///< by id; given: whole words are chosen, with all their tokens; empty: single tokens
};

/// Chooses tokens of `ids` and changes them as the options say; `targets` gets what stood there, −100 where nothing was chosen.
/// A function of the ids and the stream alone. The two spans have one size.
void mask_tokens(std::span<std::int64_t> ids, std::span<std::int64_t> targets, const MaskingOptions& options, RandomStream& random);

}  // namespace isotrope

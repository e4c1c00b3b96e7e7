#pragma once

#include <span>
#include <vector>

#include "isotrope/models/model.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// A token that may stand at a mask.
struct Candidate {
  TokenId id;
  double probability;
};

/// For each mask of the text, in order, the `count` likeliest tokens, likeliest first; ids at or above `vocab_size` (padding of the
/// embedding) are left out where it is > 0. All masks are filled at once: they do not see each other's candidates.
/// Throws InputError for a decoder or a model without a head, a text without mask, or one longer than the positions.
std::vector<std::vector<Candidate>> fill_masks(Model& model, const TokenSequence& text, TokenId mask, std::int64_t count,
                                               std::int64_t vocab_size = 0);

}  // namespace isotrope

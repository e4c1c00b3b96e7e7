#pragma once

#include <span>
#include <string>
#include <vector>

#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// The text of tokens of a SentencePiece model (definition.sentencepiece), as sentencepiece decodes them: the space that a text begins with
/// is left out where one was added, an unknown token becomes its surface, each byte of a broken run U+FFFD. Control tokens are written by
/// their names unless `skips_control`, as are tokens beside the model's that are `special`. Ids are in range.
std::string decode_as_sentencepiece(const TokenizerDefinition& definition, std::span<const TokenId> ids, bool skips_control,
                                    const std::vector<bool>& special);

}  // namespace isotrope

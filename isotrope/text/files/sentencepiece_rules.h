#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// `definition.sentencepiece`, which must be there, as the member "sentencepiece" of a tokenizer.json's model, which HF tokenizers passes
/// over. The charsmap is not in it: it lies in the normalizer Precompiled.
nlohmann::json describe_rules(const TokenizerDefinition& definition);
/// The rules in that member, for a definition whose names and normalizer are known; nothing where there is none. Throws InputError.
std::optional<SentencePieceRules> read_sentencepiece_rules(const nlohmann::json& model, const TokenizerDefinition& definition);
/// Sets the normalizer, pre-tokenizer and decoder by which HF tokenizers comes nearest to the definition's rules.
void describe_rules_for_hf(TokenizerDefinition& definition, bool pieces_end_at_marks);

}  // namespace isotrope

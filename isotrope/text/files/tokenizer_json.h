#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "isotrope/text/files/chat_settings.h"
#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// tokenizer.json's text for the definition, in the form that HF tokenizers writes.
std::string write_tokenizer_json(const TokenizerDefinition& definition);
/// tokenizer_config.json's text: the one that was read, or a minimal one.
std::string write_tokenizer_config(const TokenizerDefinition& definition);
/// The chat templates and special tokens of tokenizer_config.json; special tokens that it does not name are those that were found.
ChatSettings chat_settings(const TokenizerDefinition& definition);
/// The definition in tokenizer.json's text; `file` names it in errors. Throws InputError for anything broken or not supported.
TokenizerDefinition read_tokenizer_json(std::string_view text, std::string_view file);
TokenizerDefinition read_definition(const nlohmann::json& root, std::string_view file);
/// Sets config and the special tokens that it names, from tokenizer_config.json's text.
void read_tokenizer_config(TokenizerDefinition& definition, std::string_view text, std::string_view file);
/// Gives special tokens that have no id yet and that `definition.config` does not speak of the ids of well-known names (<|endoftext|>,
/// [CLS] …).
void find_usual_special_tokens(TokenizerDefinition& definition);

}  // namespace isotrope

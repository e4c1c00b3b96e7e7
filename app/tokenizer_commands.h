#pragma once

#include <CLI/App.hpp>
#include <span>
#include <string>

#include "isotrope/text/steps/encoding.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope::app {

// The parts of `isotrope tokenizer` that have files of their own.

constexpr const char* tokenizer_help =
    "A folder with a tokenizer or a model, a file (tokenizer.json, vocab.txt, .model, .tiktoken, .gguf …), a name in the Hugging Face "
    "cache, or bytes";

void add_tokenizer_train(CLI::App& tokenizer);
void add_tokenizer_encode(CLI::App& tokenizer);
void add_tokenizer_check(CLI::App& tokenizer);

/// Ids separated by spaces, and a line end.
std::string ids_as_text(std::span<const TokenId> ids);

/// What --show prints of an encoding: a line for each token, with its id, the code points of the text that it stands for, and its text. With
/// colour the text itself comes first, its pieces on backgrounds in turns. Nothing in it commands a terminal.
std::string shown_tokens(const Tokenizer& tokenizer, const TextPair& texts, const Encoding& encoding, bool colour);

}  // namespace isotrope::app

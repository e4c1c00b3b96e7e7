#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/infer/score.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// How texts become requests, as lm-evaluation-harness 0.4 defines it.
struct RequestCoding {
  const Tokenizer& tokenizer;
  TokenId prefix;  ///< stands before a text that begins: BOS, else EOS
};

/// BOS, else EOS, of the tokenizer or in `eos`. InputError without either.
RequestCoding request_coding(const Tokenizer& tokenizer, const std::vector<TokenId>& eos);

/// The continuation's tokens are those of the whole text from the place where the context's own end; white space that ends the context
/// belongs to the continuation. Special tokens that the tokenizer adds stand before the context, unless it begins with one in writing.
/// InputError when no token is left of the continuation.
ScoreRequest continuation_request(const RequestCoding& coding, const std::string& context, const std::string& continuation);

/// The tokenizer's ids of a text, with what it adds around it, but for a text that begins with the prefix in writing.
std::vector<TokenId> tokens_of(const RequestCoding& coding, const std::string& text);

/// A text's tokens cut into requests that predict each of them once, each with as much context as fits: `context` tokens are read at most.
std::vector<ScoreRequest> rolling_requests(const RequestCoding& coding, const std::string& text, std::int64_t context);

/// Words as re.split(r"\s+", text) of Python counts them.
std::int64_t count_words(std::string_view text);
std::int64_t count_characters(std::string_view text);

}  // namespace isotrope

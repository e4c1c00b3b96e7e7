#include "isotrope/eval/task_requests.h"

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

/// What Python's str.isspace() and \s take for white space: Unicode's, and four separators of ASCII.
bool is_python_space(char32_t c) { return (c >= 0x1C && c <= 0x1F) || UnicodeTable::instance().is_space(c); }

/// Where the white space that ends the text begins.
std::size_t end_of_words(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t position = 0; position < text.size();)
    if (!is_python_space(next_code_point(text, position))) end = position;
  return end;
}

}  // namespace

std::vector<TokenId> tokens_of(const RequestCoding& coding, const std::string& text) {
  const bool begun = text.starts_with(coding.tokenizer.token_bytes(coding.prefix));
  return coding.tokenizer.encode(text, {.add_special_tokens = !begun});
}

RequestCoding request_coding(const Tokenizer& tokenizer, const std::vector<TokenId>& eos) {
  if (tokenizer.bos()) return {tokenizer, *tokenizer.bos()};
  if (tokenizer.eos()) return {tokenizer, *tokenizer.eos()};
  if (!eos.empty()) return {tokenizer, eos.front()};
  throw InputError("eval", "the tokenizer has neither a BOS nor an EOS token, which would begin a text");
}

ScoreRequest continuation_request(const RequestCoding& coding, const std::string& context, const std::string& continuation) {
  const auto end = end_of_words(context);
  const auto before = context.substr(0, end), after = context.substr(end) + continuation;
  ScoreRequest request;
  if (before.empty()) {
    request.context = {coding.prefix};
    request.continuation = coding.tokenizer.encode(after, {.add_special_tokens = false});
    if (request.continuation.size() > 1 && request.continuation.front() == coding.prefix)
      request.continuation.erase(request.continuation.begin());
  } else {
    const auto whole = tokens_of(coding, before + after);
    request.context = tokens_of(coding, before);
    const auto shared = std::min(request.context.size(), whole.size());
    request.continuation.assign(whole.begin() + static_cast<std::ptrdiff_t>(shared), whole.end());
  }
  if (request.continuation.empty()) throw InputError("eval", "no token is left of the continuation \"{}\"", continuation);
  return request;
}

std::vector<ScoreRequest> rolling_requests(const RequestCoding& coding, const std::string& text, std::int64_t context) {
  const auto ids = tokens_of(coding, text);
  const auto length = static_cast<std::size_t>(context);
  std::vector<ScoreRequest> requests;
  for (std::size_t done = 0; done < ids.size();) {
    const auto end = std::min(ids.size(), done + length);
    ScoreRequest request;
    // The first request begins with the prefix; the others with the token before, and the last one reaches back as far as it may.
    if (done == 0) request.context = {coding.prefix};
    else {
      const auto from = std::min(done - 1, end - std::min(end, length + 1));
      request.context.assign(ids.begin() + static_cast<std::ptrdiff_t>(from), ids.begin() + static_cast<std::ptrdiff_t>(done));
    }
    request.continuation.assign(ids.begin() + static_cast<std::ptrdiff_t>(done), ids.begin() + static_cast<std::ptrdiff_t>(end));
    requests.push_back(std::move(request));
    done = end;
  }
  return requests;
}

std::int64_t count_words(std::string_view text) {
  std::int64_t words = 1;
  bool in_space = false;
  for (std::size_t position = 0; position < text.size();) {
    const bool space = is_python_space(next_code_point(text, position));
    words += space && !in_space;
    in_space = space;
  }
  return words;
}

std::int64_t count_characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace isotrope

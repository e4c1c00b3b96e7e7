#include "isotrope/text/tokenizer.h"

#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/encoding.h"
#include "isotrope/text/steps/post_processor.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

std::size_t Tokenizer::safe_cut(std::string_view text, std::size_t) const { return text.size(); }

std::vector<TokenId> Tokenizer::encode_parallel(std::string_view text, int, const EncodeOptions& options) const {
  return encode(text, options);
}

bool Tokenizer::is_word_start(TokenId id) const {
  if (is_special(id)) return true;
  const auto bytes = token_bytes(id);
  return !bytes.empty() && std::string_view(" \n\r\t").find(bytes.front()) != std::string_view::npos;
}

TokenSequence Tokenizer::assemble(std::vector<TokenId> first, std::optional<std::vector<TokenId>> second,
                                  const EncodeOptions& options) const {
  return PostProcessor(nullptr, vocab_size(), {}).assemble(std::move(first), std::move(second), options);
}

TokenSequence Tokenizer::encode_typed(std::string_view text, const EncodeOptions& options) const {
  return assemble(encode(text, {.add_special_tokens = false, .parse_special_tokens = options.parse_special_tokens}), std::nullopt, options);
}

TokenSequence Tokenizer::encode_pair(std::string_view first, std::string_view second, const EncodeOptions& options) const {
  const EncodeOptions plain{.add_special_tokens = false, .parse_special_tokens = options.parse_special_tokens};
  return assemble(encode(first, plain), encode(second, plain), options);
}

std::optional<Truncation> Tokenizer::own_truncation() const { return std::nullopt; }
std::optional<Padding> Tokenizer::own_padding() const { return std::nullopt; }

Encoding Tokenizer::encode_full(const TextPair&, const EncodingOptions&) const {
  throw InputError("tokenizer", "this tokenizer gives no offsets");
}

std::string Tokenizer::decode(std::span<const TokenId> ids, const DecodeOptions& options) const {
  std::string bytes;
  for (const auto id : ids)
    if (!options.skip_special_tokens || !is_special(id)) bytes += token_bytes(id);
  return check_utf8(bytes) ? replace_invalid_utf8(bytes) : bytes;
}

std::string StreamDecoder::push(TokenId id) {
  if (options_.skip_special_tokens && tokenizer_.is_special(id)) return {};
  pending_ += tokenizer_.token_bytes_at(id, first_);
  first_ = false;
  const auto certain = pending_.size() - unfinished_utf8(pending_);
  auto text = replace_invalid_utf8(std::string_view(pending_).substr(0, certain));
  pending_.erase(0, certain);
  return text;
}

std::string StreamDecoder::finish() {
  auto text = replace_invalid_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace isotrope

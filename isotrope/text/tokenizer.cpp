#include "isotrope/text/tokenizer.h"

#include "isotrope/text/utf8.h"

namespace isotrope {

std::size_t Tokenizer::safe_cut(std::string_view text, std::size_t) const { return text.size(); }

std::vector<TokenId> Tokenizer::encode_parallel(std::string_view text, int, const EncodeOptions& options) const {
  return encode(text, options);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, const DecodeOptions& options) const {
  std::string bytes;
  for (const auto id : ids)
    if (!options.skip_special_tokens || !is_special(id)) bytes += token_bytes(id);
  return check_utf8(bytes) ? replace_invalid_utf8(bytes) : bytes;
}

std::string StreamDecoder::push(TokenId id) {
  if (options_.skip_special_tokens && tokenizer_.is_special(id)) return {};
  pending_ += tokenizer_.token_bytes(id);
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

#pragma once

#include <fstream>

#include "isotrope/base/error.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope::test {

/// One token a byte, 256 ends a text. With `word_prefix` every encode() begins with token 257, so that no text may be cut without a trace.
class FakeTokenizer : public Tokenizer {
 public:
  explicit FakeTokenizer(bool word_prefix = false, bool has_eos = true, std::size_t vocab = 300)
      : word_prefix_(word_prefix), has_eos_(has_eos), vocab_(vocab) {}

  std::size_t vocab_size() const override { return vocab_; }
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<TokenId> ids;
    if (word_prefix_) ids.push_back(257);
    for (const unsigned char c : text) ids.push_back(c);
    return ids;
  }
  std::string token_bytes(TokenId id) const override { return id < 256 ? std::string(1, static_cast<char>(id)) : ""; }
  bool is_special(TokenId id) const override { return id >= 256; }
  std::optional<TokenId> find(std::string_view) const override { return std::nullopt; }
  std::optional<TokenId> bos() const override { return std::nullopt; }
  std::optional<TokenId> eos() const override { return has_eos_ ? std::optional<TokenId>(256) : std::nullopt; }
  void save(const std::filesystem::path& folder) const override {
    std::ofstream(folder / "tokenizer.json") << "{}";
    std::ofstream(folder / "tokenizer_config.json") << "{}";
  }
  std::string fingerprint() const override { return std::string(64, word_prefix_ ? 'b' : 'a'); }

 private:
  bool word_prefix_, has_eos_;
  std::size_t vocab_;
};

}  // namespace isotrope::test

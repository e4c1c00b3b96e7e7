#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "isotrope/text/added_tokens.h"
#include "isotrope/text/bpe_model.h"
#include "isotrope/text/pre_tokenizer.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// All that tokenizer.json and tokenizer_config.json say about a byte-level BPE tokenizer, in checked form: ids are 0 … names.size() − 1
/// without holes, every merge's three tokens exist. A byte without a token drops out of a text, as in HF tokenizers.
struct BpeDefinition {
  std::vector<std::string> names;  ///< by id, as spelled in the file
  std::vector<bool> in_model;      ///< by id: part of the model's vocabulary, not only an added token
  std::vector<BpeMerge> merges;
  bool ignore_merges = false;
  std::vector<AddedToken> added_tokens;
  nlohmann::json pre_tokenizer;        ///< as in the file
  nlohmann::json post_processor;       ///< as in the file, or null
  std::vector<TokenId> before, after;  ///< what the post-processor puts around a text
  nlohmann::json config;               ///< tokenizer_config.json, or null
  std::optional<TokenId> bos, eos;
  std::string file = "tokenizer.json";  ///< named in errors
};

/// The tokenizer of a byte-level BPE definition.
class ByteLevelBpe final : public Tokenizer {
 public:
  explicit ByteLevelBpe(BpeDefinition definition);
  ByteLevelBpe(const ByteLevelBpe&) = delete;

  std::size_t vocab_size() const override { return definition_.names.size(); }
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string token_bytes(TokenId id) const override;
  bool is_special(TokenId id) const override;
  std::optional<TokenId> find(std::string_view token) const override;
  std::optional<TokenId> bos() const override { return definition_.bos; }
  std::optional<TokenId> eos() const override { return definition_.eos; }
  void save(const std::filesystem::path& folder) const override;
  std::string fingerprint() const override;
  std::size_t safe_cut(std::string_view text, std::size_t position) const override;
  std::vector<TokenId> encode_parallel(std::string_view text, int threads, const EncodeOptions& options) const override;

  const BpeDefinition& definition() const { return definition_; }

 private:
  void check_id(TokenId id) const;
  bool has_absent_byte(std::string_view text) const;
  /// The ids of valid UTF-8 without what the post-processor adds.
  void encode_text(std::string_view text, bool parse_special, std::vector<TokenId>& ids) const;

  BpeDefinition definition_;
  PreTokenizer pre_tokenizer_;
  AddedTokenMatcher added_;
  BpeModel model_;
  std::vector<std::string> bytes_;  ///< by id
  std::vector<bool> special_;       ///< by id
  std::array<bool, 256> absent_{};  ///< bytes that have no token
  bool any_absent_ = false;
  std::unordered_map<std::string_view, TokenId> ids_;
  bool cuttable_;
};

/// What the definition says about words: bytes, merges, and the tokens as words.
BpeModel::Parts bpe_parts(const BpeDefinition& definition);

/// tokenizer.json's text for the definition, in the form that HF tokenizers writes.
std::string write_tokenizer_json(const BpeDefinition& definition);
/// tokenizer_config.json's text: the one that was read, or a minimal one.
std::string write_tokenizer_config(const BpeDefinition& definition);
/// The definition in tokenizer.json's text; `file` names it in errors. Throws InputError for anything broken or not supported.
BpeDefinition read_tokenizer_json(std::string_view text, std::string_view file);
BpeDefinition read_definition(const nlohmann::json& root, std::string_view file);
/// Sets config, bos and eos from tokenizer_config.json's text.
void read_tokenizer_config(BpeDefinition& definition, std::string_view text, std::string_view file);
/// Sets bos and eos to well-known names (<|endoftext|>, <s>, …) where `definition.config` does not speak of them.
void find_usual_bos_and_eos(BpeDefinition& definition);

}  // namespace isotrope

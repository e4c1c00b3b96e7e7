#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "isotrope/text/added_tokens.h"
#include "isotrope/text/bpe_model.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

constexpr TokenId no_token = -1;

/// Byte-pair encoding. Byte-level: words are bytes, tokens are spelled in GPT-2's alphabet, and nothing is unknown.
struct BpeDefinition {
  std::vector<BpeMerge> merges;
  bool ignore_merges = false;  ///< a word that is a whole token becomes it at once
  bool byte_level = true;      ///< otherwise words are spelled in characters, and the rest counts
  std::string prefix, suffix;  ///< of the characters that continue a word, and of the last one ("</w>")
  bool byte_fallback = false;  ///< a character that is not in the vocabulary becomes the tokens <0x00> … <0xFF> of its bytes
  bool fuse_unknown = false;   ///< one unknown token for a run of unknown characters
  std::optional<TokenId> unknown;
};

struct WordPieceDefinition {
  bool byte_level = false;         ///< words are bytes, tokens are spelled in GPT-2's alphabet, no prefix, all 256 bytes are there
  TokenId unknown = 0;             ///< no_token: there is none, and nothing can be unknown
  std::string prefix = "##";       ///< of tokens that continue a word
  std::size_t longest_word = 100;  ///< in characters; a longer one is unknown
};

/// Words that are tokens as a whole.
struct WordLevelDefinition {
  TokenId unknown = 0;  ///< no_token: an unknown word is an error
};

/// Ids with a part of their own, from tokenizer_config.json, special_tokens_map.json or usual names.
struct SpecialTokens {
  std::optional<TokenId> bos, eos, cls, sep, mask, pad, unk;
};

/// All that tokenizer.json and tokenizer_config.json say about a tokenizer. Every merge's three tokens exist; the components are as in the
/// file, and checked where they are made.
struct TokenizerDefinition {
  std::vector<std::string> names;  ///< by id, as spelled in the file; empty where an id below the largest has no token
  std::vector<bool> in_model;      ///< by id: part of the model's vocabulary, not only an added token
  std::variant<BpeDefinition, WordPieceDefinition, WordLevelDefinition> model;
  std::vector<AddedToken> added_tokens;
  nlohmann::json normalizer, pre_tokenizer, post_processor, decoder;  ///< null where there is none
  nlohmann::json truncation, padding;  ///< for who asks (own_truncation()); encode() cuts and pads nothing by itself
  nlohmann::json config;               ///< tokenizer_config.json, or null
  SpecialTokens special;
  std::string file = "tokenizer.json";  ///< named in errors

  /// Whether the model takes words as bytes.
  bool is_byte_level() const {
    const auto* pieces = std::get_if<WordPieceDefinition>(&model);
    const auto* bpe = std::get_if<BpeDefinition>(&model);
    return (bpe && bpe->byte_level) || (pieces && pieces->byte_level);
  }
  /// Whether a text is the bytes of its tokens, one after the other.
  bool joins_bytes() const;
};

/// Whether a decoder of tokenizer.json is ByteLevel, or a Sequence of it alone.
bool is_byte_level_decoder(const nlohmann::json& decoder);

/// The byte that a token of the form <0x0A> stands for.
std::optional<unsigned char> fallback_byte(std::string_view name);

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
/// The tokenizer of a definition, after find_usual_special_tokens(). Throws InputError for a component that is broken or not supported.
std::shared_ptr<const Tokenizer> make_tokenizer(TokenizerDefinition definition);

}  // namespace isotrope

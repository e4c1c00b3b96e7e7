#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "isotrope/text/steps/added_tokens.h"
#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

constexpr TokenId no_token = -1;

/// One merge: the ids of two neighbours and of the token that replaces them. A merge's rank is its place in the list.
struct BpeMerge {
  TokenId left = 0, right = 0, result = 0;
};

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

/// Kudo's unigram language model over pieces with scores.
struct UnigramDefinition {
  std::vector<double> scores;  ///< by id: the model's pieces are the ids 0 … scores.size() − 1
  std::optional<TokenId> unknown;
  bool byte_fallback = false;  ///< characters that no piece has become the tokens <0x00> … <0xFF> of their bytes
};

/// What a piece of a SentencePiece model is. The numbers are those of sentencepiece_model.proto and of GGUF's tokenizer.ggml.token_type.
enum class PieceType : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// What a SentencePiece model does otherwise than tokenizer.json can say. Where it is there, it takes the place of normalizer and
/// pre-tokenizer, and scores are added in single precision.
struct SentencePieceRules {
  bool add_dummy_prefix = true;              ///< a space before every text
  bool remove_extra_whitespaces = true;      ///< at both ends, and all but one of a run
  bool escape_whitespaces = true;            ///< a space becomes "▁"
  bool treat_whitespace_as_suffix = false;   ///< the added space comes behind the text
  std::string charsmap;                      ///< precompiled_charsmap, or nothing
  std::vector<std::uint8_t> types;           ///< by id, of the model's pieces: PieceType
  std::vector<std::uint32_t> merge_ranks;    ///< of a BPE model, by merge: equal where scores are; empty: the merge's place
  std::string unknown_surface = " \u2047 ";  ///< what an unknown token is decoded to
  std::uint8_t type_of(std::size_t id) const { return id < types.size() ? types[id] : 1; }
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
  std::variant<BpeDefinition, WordPieceDefinition, WordLevelDefinition, UnigramDefinition> model;
  std::optional<SentencePieceRules> sentencepiece;  ///< of a tokenizer that comes from a SentencePiece model, where they decide
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

}  // namespace isotrope

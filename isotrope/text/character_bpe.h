#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "isotrope/text/cached_words.h"
#include "isotrope/text/tokenizer_definition.h"
#include "isotrope/text/word_token.h"

namespace isotrope {

/// Byte-pair encoding of words spelled in characters (Sennrich et al. 2016), as SentencePiece and Llama 2 use it: a character that is not
/// in the vocabulary becomes the tokens of its bytes (<0x00> … <0xFF>) with byte_fallback, else the unknown token, else nothing.
///
/// A text without pre-tokenizer is one word; it is cut before each "▁" that no merge can join to what comes before, which changes no id and
/// lets a cache know most parts. Immutable, thread-safe, O(n log n) in the worst case.
class CharacterBpe {
 public:
  explicit CharacterBpe(const TokenizerDefinition& definition);

  class Worker : public CachedWorker<CharacterBpe> {
   public:
    using CachedWorker::CachedWorker;
    void encode_word(std::string_view word, std::vector<TokenId>& ids);
  };
  void encode_word(std::string_view word, std::vector<TokenId>& ids) const;
  /// The same tokens with the bytes of the word that each counts for, as HF tokenizers counts them (encoding.h).
  void align_word(std::string_view word, std::vector<WordToken>& tokens) const;
  const CachedWordsPool& caches() const { return caches_; }

 private:
  struct Merge {
    std::uint32_t rank;
    TokenId result;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  static std::uint64_t pair(TokenId left, TokenId right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  /// The tokens of the word's characters; lengths: how many bytes each counts for.
  void spell(std::string_view word, std::vector<TokenId>& tokens, std::vector<std::uint32_t>* lengths = nullptr) const;
  /// starts: the first of the tokens that each id was merged from.
  void merge(std::vector<TokenId>& tokens, std::vector<TokenId>& ids, std::vector<std::int32_t>* starts = nullptr) const;
  /// The parts of a word between which nothing merges.
  template <class Visit>
  void for_each_part(std::string_view word, Visit&& visit) const;
  bool may_be_cut_after(std::string_view text) const;

  BpeDefinition definition_;
  std::unordered_map<std::string, TokenId, Hash, std::equal_to<>> ids_;  ///< of characters, and with ignore_merges of all tokens
  std::array<TokenId, 256> byte_ids_;                                    ///< −1: there is none
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::vector<char32_t> joined_to_marks_;  ///< sorted: characters that stand before "▁" in some token
  bool cuts_at_marks_ = false;
  CachedWordsPool caches_;
};

}  // namespace isotrope

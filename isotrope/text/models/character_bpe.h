#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "isotrope/text/models/cached_words.h"
#include "isotrope/text/models/word_token.h"
#include "isotrope/text/steps/double_array.h"
#include "isotrope/text/steps/mark_cuts.h"
#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// Byte-pair encoding of words spelled in characters (Sennrich et al. 2016), as SentencePiece and Llama 2 use it: a character that is not
/// in the vocabulary becomes the tokens of its bytes (<0x00> … <0xFF>) with byte_fallback, else the unknown token, else nothing.
///
/// A text without pre-tokenizer is one word; it is cut before each "▁" that no merge can join to what comes before, which changes no id and
/// lets a cache know most parts. Immutable, thread-safe, O(n log n) in the worst case.
class CharacterBpe {
 private:
  struct Scratch;

 public:
  explicit CharacterBpe(const TokenizerDefinition& definition);

  /// A thread's hold on the model.
  class Worker {
   public:
    using Model = CharacterBpe;
    explicit Worker(const CharacterBpe& model);
    ~Worker();
    Worker(const Worker&) = delete;
    void begin_text() {}
    /// Appends the ids of one word.
    void encode_word(std::string_view word, std::vector<TokenId>& ids);
    /// The same without a look at what is remembered.
    void compute_word(std::string_view word, std::vector<TokenId>& ids);
    /// Raw text of 1 … WordKey::longest bytes, which is remembered with its ids; encode(raw, ids) appends them when they are not at hand,
    /// and must depend on `raw` alone. A worker is given either raw text or words.
    template <class Encode>
    void encode_raw(const WordKey& key, std::string_view raw, std::vector<TokenId>& ids, Encode&& encode) {
      words_->encode(key, raw, ids, encode);
    }
    void prefetch(const WordKey& key) const { words_->prefetch(key); }
    void prefetch_more(const WordKey& key) const { words_->prefetch_more(key); }

   private:
    const CharacterBpe& model_;
    std::unique_ptr<CachedWords> words_;
    std::unique_ptr<Scratch> scratch_;
  };

  /// The tokens of a word with the bytes of the word that each counts for, as HF tokenizers counts them (encoding.h).
  void align_word(std::string_view word, std::vector<WordToken>& tokens) const;
  /// Whether a text of so many bytes can be cut before "▁" with the ids of the parts those of the whole.
  bool is_cut_at_marks(std::size_t) const { return cuts_at_marks_; }
  const MarkCuts& cuts() const { return cuts_; }

 private:
  struct Merge {
    std::uint32_t rank = no_rank;
    TokenId result = -1;
  };
  struct Slot {
    std::uint64_t key = ~std::uint64_t{0};  ///< left << 32 | right
    Merge merge;
  };
  static constexpr std::uint32_t no_rank = UINT32_MAX;

  void build_merges(const TokenizerDefinition& definition);
  std::uint64_t hash(std::uint64_t key) const { return (key ^ key >> 29) * 0x9E3779B97F4A7C15u; }
  /// How two neighbours merge; rank no_rank: they do not.
  Merge find_merge(TokenId left, TokenId right) const {
    if ((left | right) < 0) return {};
    const auto key = std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
    const auto hashed = hash(key);
    if (!(filter_[hashed >> filter_shift_ >> 6] >> (hashed >> filter_shift_ & 63) & 1)) return {};
    for (auto place = hashed * 0xD6E8FEB86659FD93u >> slot_shift_;; place = (place + 1) & (slots_.size() - 1)) {
      if (slots_[place].key == key) return slots_[place].merge;
      if (slots_[place].merge.result < 0) return {};
    }
  }
  TokenId find_character(char32_t code_point) const {
    const auto page = pages_[code_point >> 8];
    return characters_[std::size_t{page} << 8 | (code_point & 0xFF)];
  }
  TokenId find_word(std::string_view word) const;
  void set_character(char32_t code_point, TokenId id);
  void encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const;
  /// The tokens of the word's characters; lengths: how many bytes each counts for.
  void spell(std::string_view word, std::vector<TokenId>& tokens, std::vector<std::uint32_t>* lengths = nullptr) const;
  void merge_short(std::vector<TokenId>& tokens, Scratch& scratch) const;
  /// starts: the first of the tokens that each that is left was merged from.
  void merge_long(std::vector<TokenId>& tokens, std::vector<std::int32_t>* starts = nullptr) const;
  /// The longest user-defined piece at the beginning, and its length.
  std::pair<TokenId, std::size_t> find_user_defined(std::string_view text) const;
  void append_parts(TokenId token, std::vector<TokenId>& ids) const;

  BpeDefinition definition_;
  std::vector<std::uint16_t> pages_ = std::vector<std::uint16_t>(0x1100);
  std::vector<TokenId> characters_ = std::vector<TokenId>(256, -1);  ///< by page and code point
  std::array<TokenId, 256> byte_ids_{};                              ///< −1: there is none
  std::vector<Slot> slots_;
  std::vector<std::uint64_t> filter_;  ///< a bit by hash for every pair that merges
  unsigned slot_shift_ = 0, filter_shift_ = 0;
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, TokenId, Hash, std::equal_to<>> words_;  ///< ignore_merges, affixes: of all tokens
  std::optional<DoubleArray> user_defined_;                                ///< SentencePiece's, which stay whole
  std::unordered_map<TokenId, std::pair<TokenId, TokenId>> unused_;        ///< its pieces that are taken apart again, into what
  MarkCuts cuts_;
  bool cuts_at_marks_ = false, has_affixes_ = false;
  CachedWordsPool caches_{17};  ///< a part of raw text that is not known costs much
};

}  // namespace isotrope

#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "isotrope/text/cached_words.h"
#include "isotrope/text/mark_cuts.h"
#include "isotrope/text/piece_trie.h"
#include "isotrope/text/steady_search.h"
#include "isotrope/text/tokenizer_definition.h"
#include "isotrope/text/word_token.h"

namespace isotrope {

/// The unigram language model (Kudo 2018): of all ways to cut a text into pieces the one whose scores add up to most, found by Viterbi's
/// algorithm; of equal sums that which was there first, as the text is gone through. A character that is no piece is unknown at the least
/// score − 10; a run of unknown ones becomes the tokens of its bytes (<0x00> … <0xFF>) with byte_fallback, else one unknown token.
///
/// Sums are those of HF tokenizers, in double, each word by itself; of a SentencePiece model (definition.sentencepiece) those of
/// sentencepiece, in float, along the whole text. Immutable, thread-safe; the time grows with the text times the longest piece. A word of 2²⁹ bytes or more
/// is an InputError.
class Unigram {
 private:
  struct Scratch;

 public:
  explicit Unigram(const TokenizerDefinition& definition);

  /// A thread's hold on the model.
  class Worker {
   public:
    using Model = Unigram;
    explicit Worker(const Unigram& model);
    ~Worker();
    Worker(const Worker&) = delete;
    /// A new text begins: what comes before it counts for nothing. Until it ends all is to be appended to the same ids.
    void begin_text() { sum_ = far_ = 0, staged_ = 0; }
    /// Appends what encode_spelled() has held back.
    void end_text(std::vector<TokenId>& ids) { unstage(ids); }
    /// Appends the ids of a word, or of any stretch of text.
    void encode_word(std::string_view word, std::vector<TokenId>& ids);
    /// The tokens with the bytes of the word that each counts for, as HF tokenizers counts them (encoding.h).
    void align_word(std::string_view word, std::vector<WordToken>& tokens);
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
    /// The same in single precision: spell(raw) gives what becomes of it. Ids may be held back until end_text().
    template <class Spell>
    void encode_spelled(const WordKey& key, std::string_view raw, std::vector<TokenId>& ids, Spell&& spell) {
      const auto known = words_->find(key, raw);
      if (known.empty() || !stage(known, ids)) learn(key, raw, spell(raw), !known.empty(), ids);
    }

   private:
    void encode_short(std::string_view word, std::vector<TokenId>& ids);
    /// Takes what is remembered of a word in single precision: the numbers that SteadySearch has for it, and behind them how near to 0 the sum
    /// before it must be, 0 where that is never near enough. False: it is not. Some memory behind the numbers is read (CachedWords::find).
    ///
    /// That the sum is near enough a bound tells nearly always, so that numbers can wait to be added up many at a time.
    bool stage(std::span<const TokenId> known, std::vector<TokenId>& ids) {
      const auto limit = std::bit_cast<float>(known.back());
      const auto count = known.size() - 1, room = count + WordCache::most_inline_ids;
      if (!(far_ < limit) || staged_ + room > stage_.size()) [[unlikely]] {
        unstage(ids);
        if (!(far_ < limit)) return false;
        if (room > stage_.size()) stage_.resize(room);
      }
      for (std::size_t i = 0; i < count; i += WordCache::most_inline_ids)
        std::memcpy(stage_.data() + staged_ + i, known.data() + i, WordCache::most_inline_ids * sizeof(TokenId));
      staged_ += count;
      // At most 255 additions of a word round, by a 2⁻²⁴th of the sum each, and this bound itself three times.
      far_ = (far_ + static_cast<float>(count) * model_.largest_score_) * (1 + 0x1p-14f);
      return true;
    }
    /// Appends the ids that wait, and adds up their scores.
    void unstage(std::vector<TokenId>& ids);
    void learn(const WordKey& key, std::string_view word, std::string_view spelled, bool is_known, std::vector<TokenId>& ids);

    const Unigram& model_;
    std::unique_ptr<CachedWords> words_;
    float sum_ = 0;  ///< of the text so far: in single precision it decides between ways that are nearly equal
    float far_ = 0;  ///< it will be no farther from 0 with all that is staged
    std::size_t staged_ = 0;
    std::vector<TokenId> stage_ = std::vector<TokenId>(256);  ///< the numbers of the last words
    std::vector<TokenId> numbers_;
    struct Free {
      void operator()(Scratch* scratch) const;
    };
    std::unique_ptr<Scratch, Free> scratch_;
  };

  /// Whether a text of so many bytes can be cut before "▁" with the ids of the parts those of the whole, for a worker that gets them in order.
  bool is_cut_at_marks(std::size_t size) const { return mark_is_piece_ && (single_precision_ || size < most_exact_); }
  const MarkCuts& cuts() const { return cuts_; }

 private:
  template <class Score>
  struct Node;
  template <class Score>
  const Score* scores() const;  ///< by id
  /// put(begin, end, id) gets the pieces of the best way, put(begin, end, −1) runs of unknown characters; `sum` is the score of what comes
  /// before the word, and of all at the end.
  template <class Score, class Put>
  void search(std::string_view word, Score& sum, Scratch& scratch, Put&& put) const;
  template <class Score>
  void append(std::string_view word, Score& sum, Scratch& scratch, std::vector<TokenId>& ids) const;
  void append_unknown(std::string_view text, std::vector<TokenId>& ids) const;
  UnigramDefinition definition_;
  std::string file_;
  bool single_precision_ = false;
  PieceTrie pieces_;
  std::vector<double> double_scores_;  ///< by id
  std::vector<float> number_scores_;   ///< of SteadySearch's numbers: an unknown character's, that of what has none, and then by id
  double unknown_score_ = 0;
  float largest_score_ = 0;             ///< of all, without their signs; no less
  std::optional<SteadySearch> steady_;  ///< always there
  std::array<TokenId, 256> byte_ids_{};
  MarkCuts cuts_;
  bool mark_is_piece_ = false;
  std::size_t most_exact_ = 0;  ///< bytes of a text below which no sum in double is rounded
  CachedWordsPool caches_{17};  ///< a part of raw text that is not known costs much
};

}  // namespace isotrope

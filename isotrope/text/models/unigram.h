#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "isotrope/text/models/cached_words.h"
#include "isotrope/text/models/piece_trie.h"
#include "isotrope/text/models/staged_words.h"
#include "isotrope/text/models/steady_search.h"
#include "isotrope/text/models/word_token.h"
#include "isotrope/text/steps/mark_cuts.h"
#include "isotrope/text/steps/space_cuts.h"
#include "isotrope/text/steps/tokenizer_definition.h"

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

  /// Adds up the scores of a text in single precision, word after word.
  class Settler {
   public:
    explicit Settler(const Unigram& model);
    ~Settler();
    Settler(const Settler&) = delete;
    /// Goes through words in the order of the text, whoever staged them, and appends their ids. spell(raw, begins, ends) gives what
    /// becomes of raw text; it is asked for words that depend on the sum before them.
    template <class Spell>
    void settle(StagedWords& staged, Spell&& spell, std::vector<TokenId>& ids) {
      const auto* number = staged.numbers().data();
      const auto* waiting = number;  // from here on scores have not been added up
      auto far = std::abs(sum_);     // the sum will be no farther from 0 with all that waits
      const auto add_up_waiting = [&] {
        add_up(waiting, number, ids);
        waiting = number, far = std::abs(sum_);
      };
      for (const auto& word : staged.words()) {
        if (!(far < word.limit)) [[unlikely]] {
          add_up_waiting();
          if (!(far < word.limit)) {
            if (word.limit == StagedWords::is_token) ids.push_back(*number), sum_ = 0;
            else compute(spell(word.raw, word.begins(), word.ends()), ids);
            number += word.count();
            waiting = number, far = std::abs(sum_);
            continue;
          }
        }
        number += word.count();
        far += static_cast<float>(word.count()) * model_.largest_step_;
      }
      add_up_waiting();
      staged.clear();
    }

   protected:
    /// Finds the ids of a word behind the sum so far.
    void compute(std::string_view word, std::vector<TokenId>& ids);

    const Unigram& model_;
    float sum_ = 0;  ///< of the text so far: it decides between ways that are nearly equal
    struct Free {
      void operator()(Scratch* scratch) const;
    };
    std::unique_ptr<Scratch, Free> scratch_;

   private:
    /// Appends the ids of SteadySearch's numbers, and adds up their scores.
    void add_up(const TokenId* begin, const TokenId* end, std::vector<TokenId>& ids);
  };

  /// A thread's hold on the model.
  class Worker : private Settler {
   public:
    using Model = Unigram;
    explicit Worker(const Unigram& model);
    ~Worker();
    /// A new text begins: what comes before it counts for nothing.
    void begin_text() { sum_ = 0, staged_.clear(); }
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
    /// In single precision: what can be known of raw text by itself. spell(raw, begins, ends) gives what becomes of it, and must depend on
    /// these alone.
    template <class Spell>
    void stage(const TextPart& part, Spell&& spell, StagedWords& staged) {
      if (!part.begins && !part.ends && part.text.size() <= WordKey::longest) {
        if (const auto known = words_->find(part.key, part.text); !known.empty()) [[likely]]
          return staged.put(part.text, false, false, known);
        const auto found = find_steady(spell(part.text, false, false));
        words_->remember(part.key, part.text, found);
        return staged.put(part.text, false, false, found);
      }
      const bool may_be_steady = part.text.size() <= most_steady;
      staged.put(part.text, part.begins, part.ends,
                 may_be_steady ? find_steady(spell(part.text, part.begins, part.ends)) : std::span(nothing_known).first(1));
    }
    using Settler::settle;

   private:
    static constexpr std::size_t most_steady = 4 * WordKey::longest;              ///< bytes of a word that the steady search is asked for
    static constexpr TokenId nothing_known[1 + WordCache::most_inline_ids] = {};  ///< no numbers, the limit 0, and what may be read
    /// What SteadySearch has of a word in single precision, behind it its limit (0: it has nothing), and some memory that may be read.
    std::span<const TokenId> find_steady(std::string_view word);

    std::unique_ptr<CachedWords> words_;
    StagedWords staged_;  ///< of encode_word()
    std::vector<TokenId> numbers_;
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
  float largest_step_ = 0;              ///< no addition of a score takes a sum below most_float_sum farther from 0
  std::optional<SteadySearch> steady_;  ///< always there
  std::array<TokenId, 256> byte_ids_{};
  MarkCuts cuts_;
  bool mark_is_piece_ = false;
  std::size_t most_exact_ = 0;  ///< bytes of a text below which no sum in double is rounded
  CachedWordsPool caches_{17};  ///< a part of raw text that is not known costs much
};

}  // namespace isotrope

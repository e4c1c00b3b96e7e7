#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "isotrope/text/piece_trie.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// The best way through a short word whatever the sum of scores before it, in single precision as sentencepiece has it (unigram.h).
///
/// Scores are whole numbers here, in units so small that rounding is known beforehand, and a way is one number of 64 bits, its score above
/// and its last piece below: the better of two ways is the larger number. The second best way to each place is kept, too.
class SteadySearch {
 public:
  struct Model {
    const PieceTrie& pieces;         ///< with their ids; outlives the search
    std::span<const float> scores;   ///< by id
    std::optional<TokenId> unknown;  ///< of a character that is no piece; where there is none, a word with one is not searched
    float unknown_score;
    std::function<void(std::string_view run, std::vector<TokenId>& ids)> append_unknown;  ///< what a run of them becomes
    float most_sum;  ///< single precision counts from 0 again once a sum is farther from it
  };
  explicit SteadySearch(Model model);

  /// What is found is one number after another: ids of pieces, whose scores count; and for a run of unknown characters unknown_character
  /// for each, whose score counts, and then unscored(id) of what the run becomes.
  static constexpr TokenId unknown_character = std::numeric_limits<TokenId>::min();
  static constexpr TokenId unscored(TokenId id) { return ~id; }

  struct Scratch {
    std::vector<unsigned char> codes;
    /// A way to a place and the second best one: score << 32 | bytes of codes that the last piece has << 24 | its id.
    struct Ways {
      std::int64_t best, second;
    };
    std::vector<Ways> ways;
  };
  /// Appends the numbers of a word that single precision finds after any sum nearer to 0 than the result; or none, and returns 0.
  float append(std::string_view word, Scratch& scratch, std::vector<TokenId>& numbers) const;

 private:
  static constexpr std::size_t most_codes = 255, most_ids = std::size_t{1} << 24;
  /// The sum below which rounding does not change a word's best way, whose pieces lead by so many units at least; ≤ 0: there is none.
  float steady_below(std::int64_t lead, int characters) const;
  /// Puts for the ids of unknown characters among the last `count` ones, those of the whole word, what stands for them.
  void spell_unknown(std::string_view word, std::size_t count, const Scratch& scratch, std::vector<TokenId>& numbers) const;

  Model model_;
  std::vector<std::int64_t> keys_;  ///< score << 32 | id, by id + 1 behind that of what is no piece
  std::int64_t unknown_key_ = 0;
  TokenId unknown_ = -1;
  double largest_ = 0;  ///< of all scores, without their signs
  double unit_ = 0;
};

}  // namespace isotrope

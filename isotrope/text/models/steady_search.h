#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "isotrope/text/models/piece_trie.h"
#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

/// The best way through a short word: in single precision, as sentencepiece has it, whatever the sum of scores before it (unigram.h); and in
/// double precision, as HF tokenizers has it. Where ways are too near to each other to tell, there is none.
///
/// Scores are whole numbers here, in units so small that rounding is known beforehand, and a way is one number of 64 bits, its score above
/// and its last piece below: the better of two ways is the larger number. The second best way to each place is kept, too.
class SteadySearch {
 public:
  struct Model {
    const PieceTrie& pieces;         ///< with their ids; outlives the search
    std::span<const double> scores;  ///< by id
    std::optional<TokenId> unknown;  ///< of a character that is no piece; where there is none, a word with one is not searched
    double unknown_score;
    std::function<void(std::string_view run, std::vector<TokenId>& ids)> append_unknown;  ///< what a run of them becomes
    float most_sum;  ///< single precision counts from 0 again once a sum is farther from it
  };
  explicit SteadySearch(Model model);

  /// What is found is one number after another: ids of pieces, whose scores count; and for a run of unknown characters unknown_character
  /// for each, whose score counts, and then unscored(id) (its own inverse) of what the run becomes.
  static constexpr TokenId unknown_character = std::numeric_limits<TokenId>::min();
  static constexpr TokenId unscored(TokenId id) { return ~id; }

  struct Scratch {
    std::vector<unsigned char> codes;
    /// A way to a place and the second best one: score << 32 | bytes of codes that the last piece has << 24 | its id.
    struct Ways {
      std::int64_t best, second;
    };
    std::vector<Ways> ways;
    std::vector<std::int64_t> way;  ///< the pieces of the best one, the first last
  };
  /// Appends the numbers of a word that single precision finds after any sum nearer to 0 than the result; or none, and returns 0.
  float append_steady(std::string_view word, Scratch& scratch, std::vector<TokenId>& numbers) const;
  /// Appends those that double precision finds; or none, and returns false.
  bool append_exact(std::string_view word, Scratch& scratch, std::vector<TokenId>& numbers) const;

 private:
  static constexpr std::size_t most_codes = 255, most_ids = std::size_t{1} << 24;
  struct Found {
    std::int64_t lead = 0;  ///< of each piece of the best way before all others that end where it does, in units, at least; ≤ 0: unknown
    std::size_t characters = 0, pieces = 0;
    bool has_unknown = false;
  };
  Found find(std::string_view word, Scratch& scratch) const;
  /// The sum below which rounding does not change what was found; ≤ 0: there is none.
  float steady_below(const Found& found) const;
  void append(std::string_view word, const Found& found, Scratch& scratch, std::vector<TokenId>& numbers) const;
  /// The same where some of the characters are unknown.
  void append_with_unknown(std::string_view word, Scratch& scratch, std::vector<TokenId>& numbers) const;

  Model model_;
  std::vector<std::int64_t> keys_;  ///< score << 32 | id, by id + 1 behind that of what is no piece
  std::int64_t unknown_key_ = 0;
  TokenId unknown_ = -1;
  double largest_ = 0;  ///< of all scores, without their signs
  double unit_ = 0;
};

}  // namespace isotrope

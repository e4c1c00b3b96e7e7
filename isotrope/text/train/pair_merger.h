#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "isotrope/text/models/bpe_model.h"

namespace isotrope {

/// Byte-pair encoding's learning (Sennrich et al. 2016): which neighbours are most frequent in words, and what is when they have merged.
/// The pairs are those of HF tokenizers' BpeTrainer: of pairs equally frequent, the one with the smallest ids, the left one's first.
///
/// Counts are kept by the differences that each merge makes; an entry of the heap whose count is out of date goes back with the right one
/// when it comes up.
class PairMerger {
 public:
  /// longest_token  as HF's max_token_length, 0: none. A merged token and its neighbour are a pair only if their symbols are fewer.
  explicit PairMerger(std::size_t longest_token = 0) : longest_token_(longest_token) {}

  /// A word as its symbols, seen `count` times. All words come before the first best().
  void add_word(std::span<const TokenId> symbols, std::int64_t count);
  /// The most frequent pair; nothing when none is seen `min_frequency` times. `result` is not set.
  std::optional<BpeMerge> best(std::int64_t min_frequency);
  /// Replaces the pair that best() gave by `merge.result` in all its words.
  void apply(const BpeMerge& merge);

 private:
  /// Pairs of neighbours, each with a dense number, its count and the words that it newly appeared in.
  class PairTable {
   public:
    PairTable() : table_(1 << 14, empty) {}
    std::uint32_t number(TokenId left, TokenId right);
    TokenId left(std::uint32_t pair) const { return static_cast<TokenId>(keys_[pair] >> 32); }
    TokenId right(std::uint32_t pair) const { return static_cast<TokenId>(keys_[pair]); }
    std::uint64_t key(std::uint32_t pair) const { return keys_[pair]; }

    std::vector<std::int64_t> counts;
    std::vector<std::vector<std::uint32_t>> words;

   private:
    static constexpr std::uint32_t empty = ~std::uint32_t{0};
    void grow();
    std::vector<std::uint64_t> keys_;
    std::vector<std::uint32_t> table_;
  };
  struct Entry {
    std::int64_t count = 0;
    std::uint64_t key = 0;
    std::uint32_t pair = 0;
    std::vector<std::uint32_t> words;
  };
  struct Less {
    bool operator()(const Entry& a, const Entry& b) const { return a.count != b.count ? a.count < b.count : a.key > b.key; }
  };

  void change(TokenId left, TokenId right, std::uint32_t word, int by);
  void push_changed();
  void merge_word(std::uint32_t word, const BpeMerge& merge);
  std::size_t length(TokenId token) const {
    return static_cast<std::size_t>(token) < lengths_.size() ? lengths_[static_cast<std::size_t>(token)] : 1;
  }

  std::size_t longest_token_;
  std::vector<std::size_t> lengths_;  ///< by token: symbols in it, 1 where nothing is said
  std::vector<std::int64_t> counts_;  ///< by word
  std::vector<TokenId> symbols_;      ///< the words one after another; a merged word leaves a gap at its end
  std::vector<std::size_t> starts_;
  std::vector<std::uint32_t> sizes_;
  PairTable pairs_;
  std::vector<std::uint32_t> changed_;
  std::vector<Entry> heap_;
  Entry current_;
};

}  // namespace isotrope

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// One merge: the ids of two neighbours and of the token that replaces them. A merge's rank is its place in the list.
struct BpeMerge {
  TokenId left = 0, right = 0, result = 0;
};

/// Byte-pair encoding of words (Sennrich et al. 2016, over bytes as in GPT-2). Immutable, thread-safe.
///
/// encode_word starts from the word's bytes and merges the neighbours of lowest rank, leftmost first, until none is left: O(n log n) in the
/// worst case. Words seen lately come from a table of 2 MB a thread, of fixed size.
class BpeModel {
 public:
  struct Parts {
    std::array<TokenId, 256> byte_ids{};
    std::vector<BpeMerge> merges;
    /// ignore_merges: a word that is a whole token becomes it at once. Empty when the model has no such rule.
    std::unordered_map<std::string, TokenId> whole_words;
  };
  explicit BpeModel(Parts parts);

  void encode_word(std::string_view word, std::vector<TokenId>& ids) const;
  /// Nothing to merge: every byte is its own token.
  bool is_plain_bytes() const { return parts_.merges.empty() && parts_.whole_words.empty(); }
  const Parts& parts() const { return parts_; }

 private:
  struct Slot {
    std::uint64_t pair = ~std::uint64_t{0};
    std::int32_t rank = 0;
    TokenId result = 0;
  };
  static std::uint64_t key(TokenId left, TokenId right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }
  const Slot* find(TokenId left, TokenId right) const;
  void merge_word(std::string_view word, std::vector<TokenId>& ids) const;
  void merge_short(std::string_view word, std::vector<TokenId>& ids) const;
  void merge_long(std::string_view word, std::vector<TokenId>& ids) const;

  Parts parts_;
  std::vector<Slot> slots_;  ///< open addressing, at most half full
  std::uint64_t mask_ = 0;
  std::uint64_t serial_;  ///< tells this model's words in a thread's table from another's
};

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "isotrope/text/steps/word_key.h"

namespace isotrope {

/// Words and the one token that each is. Up to 15 bytes a word and its token lie together in one flat table, so that finding it costs one
/// look at memory; longer ones are few.
class WordTable {
 public:
  /// Room for `words` words, none of which may be added twice.
  void reserve(std::size_t words);
  void add(const WordKey& key, std::string_view word, TokenId id);
  /// The word's token, or −1.
  TokenId find(const WordKey& key, std::string_view word) const {
    if (word.size() > WordKey::longest_inline) return find_long(word);
    for (auto place = key.hash() & mask_; slots_[place].high != 0; place = (place + 1) & mask_)
      if (slots_[place].low == key.low && slots_[place].high == key.high) return slots_[place].id;
    return -1;
  }

 private:
  struct alignas(32) Slot {
    std::uint64_t low = 0, high = 0;  ///< 0, 0: empty
    TokenId id = 0;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  TokenId find_long(std::string_view word) const;

  std::vector<Slot> slots_ = std::vector<Slot>(1);  ///< at most 80% full
  std::uint64_t mask_ = 0;
  std::unordered_map<std::string, TokenId, Hash, std::equal_to<>> long_words_;
};

}  // namespace isotrope

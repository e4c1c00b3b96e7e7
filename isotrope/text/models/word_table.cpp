#include "isotrope/text/models/word_table.h"

#include <bit>

namespace isotrope {

void WordTable::reserve(std::size_t words) {
  slots_.assign(std::bit_ceil(words * 5 / 4 + 1), Slot{});
  mask_ = slots_.size() - 1;
}

void WordTable::add(const WordKey& key, std::string_view word, TokenId id) {
  if (word.size() > WordKey::longest_inline) {
    long_words_.emplace(word, id);
    return;
  }
  auto place = key.hash() & mask_;
  while (slots_[place].high != 0) place = (place + 1) & mask_;
  slots_[place] = {key.low, key.high, id};
}

TokenId WordTable::find_long(std::string_view word) const {
  const auto found = long_words_.find(word);
  return found == long_words_.end() ? -1 : found->second;
}

}  // namespace isotrope

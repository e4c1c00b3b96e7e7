#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "isotrope/text/word_cache.h"

namespace isotrope {

/// Words of one stretch of text: word i is bytes [begins[i], ends[i]) of `base`. Sixteen bytes from where a word begins can be read, unless
/// the batch is one word.
struct WordBatch {
  const char* base;
  const std::uint32_t *begins, *ends;
  std::size_t count;
  std::string_view operator[](std::size_t i) const { return {base + begins[i], ends[i] - begins[i]}; }
};

/// Writes the ids of a batch's words to `out` and returns their end; up to three numbers behind it are overwritten. `encode(word, key,
/// entry, out)` does so for a word whose ids do not lie in the cache's entry; `key` and `entry` speak of words of at most WordKey::longest
/// bytes. In two steps for some words at a time: the first asks for the memory that the second needs, so that it waits for none.
template <class Encode>
TokenId* encode_words(const WordBatch& batch, WordCache& cache, TokenId* out, Encode&& encode) {
  constexpr std::size_t ahead = 16;
  struct Pending {
    WordKey key;
    const WordCache::Entry* pair;
  } pending[ahead];
  for (std::size_t first = 0; first < batch.count; first += ahead) {
    const auto count = std::min(ahead, batch.count - first);
    for (std::size_t i = 0; i < count; ++i) {
      const auto word = batch[first + i];
      pending[i].key = word.size() <= WordKey::longest_inline ? WordKey::of_short(word.data(), word.size()) : WordKey::of_long(word);
      pending[i].pair = cache.place(pending[i].key);
      __builtin_prefetch(pending[i].pair);
    }
    for (std::size_t i = 0; i < count; ++i) {
      const auto& [key, pair] = pending[i];
      const auto& entry = WordCache::pick(pair, key);
      const auto inside = entry.inline_count();
      std::memcpy(out, entry.ids, sizeof entry.ids);
      if (entry.holds(key) && inside > 0) [[likely]] {
        out += inside;
        continue;
      }
      out = encode(batch[first + i], key, entry, out);
    }
  }
  return out;
}

}  // namespace isotrope

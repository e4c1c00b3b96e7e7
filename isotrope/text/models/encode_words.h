#pragma once

#include <algorithm>
#include <cstring>

#include "isotrope/text/models/word_cache.h"
#include "isotrope/text/steps/word_batch.h"

namespace isotrope {

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

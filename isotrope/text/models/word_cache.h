#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "isotrope/text/steps/token_ids.h"
#include "isotrope/text/steps/word_key.h"

namespace isotrope {

/// The ids of words seen lately: pairs of 32-byte entries, fixed size, no allocation after construction. One to four ids lie in the entry;
/// more or none, and those of words over 15 bytes, lie in a ring of numbers whose oldest are overwritten. Not for several threads at once.
class WordCache {
 public:
  static constexpr std::size_t most_inline_ids = 4;

  struct alignas(32) Entry {
    std::uint64_t low = 0, high = 0;  ///< the key; bits 60 to 63 of `high`: how many ids are in the entry, 0: they are in the ring
    TokenId ids[most_inline_ids] = {};
    bool holds(const WordKey& key) const { return ((low ^ key.low) | (high ^ key.high) << 4) == 0; }
    std::size_t inline_count() const { return high >> 60; }
  };

  /// 2^(bits + 1) entries, and a ring of as much memory: with 15 bits 2 MB each.
  explicit WordCache(unsigned bits = 15);
  WordCache(const WordCache&) = delete;

  /// The pair of entries where a key belongs.
  const Entry* place(const WordKey& key) const { return entries_ + 2 * (key.hash() >> (64 - bits_)); }
  /// The entry of the pair that holds the key, or one that does not.
  static const Entry& pick(const Entry* pair, const WordKey& key) { return pair[pair[0].holds(key) ? 0 : 1]; }
  /// Has the processor fetch what ring_ids() will look at, if it does.
  void prefetch_ring(const Entry& entry) const {
    if (entry.inline_count() == 0 && entry.high != 0) __builtin_prefetch(ring_at(static_cast<std::uint32_t>(entry.ids[0])));
  }
  /// The ids in the ring for an entry that holds the word's key; null when they are gone, or when another word has the same key. Sixteen bytes
  /// at a time can be read of them, as of those in an entry.
  const TokenId* ring_ids(const Entry& entry, std::string_view word, std::size_t& count) const;
  /// Takes a word in; an older one leaves.
  void insert(const WordKey& key, std::string_view word, const TokenId* ids, std::size_t count);

 private:
  std::size_t entry_count() const { return std::size_t{2} << bits_; }
  std::size_t ring_size() const { return entry_count() * (sizeof(Entry) / sizeof(std::uint32_t)); }
  const std::uint32_t* ring_at(std::uint32_t place) const { return ring_ + (place & (ring_size() - 1)); }

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::uint32_t store(std::string_view word, const TokenId* ids, std::size_t count);
  void clear();

  unsigned bits_;
  std::unique_ptr<void, Free> memory_;
  Entry* entries_;
  std::uint32_t* ring_;
  std::uint32_t head_ = 0;  ///< numbers ever stored; the place of the next is head_ mod ring_size()
};

}  // namespace isotrope

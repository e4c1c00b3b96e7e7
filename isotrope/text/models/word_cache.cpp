#include "isotrope/text/models/word_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace isotrope {

namespace {

constexpr std::size_t page = std::size_t{2} << 20;

std::size_t words_in(std::size_t bytes) { return (bytes + 3) / 4; }

}  // namespace

WordCache::WordCache(unsigned bits) : bits_(bits) {
  // Huge pages where the system has them: a lookup then costs no miss of the address translation.
  const auto bytes = (entry_count() * sizeof(Entry) + ring_size() * sizeof(std::uint32_t) + page - 1) / page * page;
  memory_.reset(std::aligned_alloc(page, bytes));
  if (!memory_) throw std::bad_alloc();
  ::madvise(memory_.get(), bytes, MADV_HUGEPAGE);
  entries_ = new (memory_.get()) Entry[entry_count()];
  ring_ = reinterpret_cast<std::uint32_t*>(entries_ + entry_count());
}

void WordCache::clear() {
  std::fill_n(entries_, entry_count(), Entry{});
  head_ = 0;
}

const TokenId* WordCache::ring_ids(const Entry& entry, std::string_view word, std::size_t& count) const {
  const auto place = static_cast<std::uint32_t>(entry.ids[0]);
  if (entry.high == 0 || head_ - place > ring_size()) return nullptr;
  const auto* stored = ring_at(place);
  if (word.size() > WordKey::longest_inline) {
    if (std::memcmp(stored, word.data(), word.size()) != 0) return nullptr;
    stored += words_in(word.size());
  }
  count = static_cast<std::size_t>(entry.ids[1]);
  return reinterpret_cast<const TokenId*>(stored);
}

std::uint32_t WordCache::store(std::string_view word, const TokenId* ids, std::size_t count) {
  const bool is_long = word.size() > WordKey::longest_inline;
  const auto size = static_cast<std::uint32_t>((is_long ? words_in(word.size()) : 0) + count);
  if (head_ > UINT32_MAX - 2 * ring_size()) clear();  // or an entry from one round of 2³² ago would look fresh
  const auto left = static_cast<std::uint32_t>(ring_size() - head_ % ring_size());
  if (size + most_inline_ids > left) head_ += left;
  const auto place = head_;
  head_ += size;
  auto* at = ring_ + place % ring_size();
  if (is_long) {
    std::memcpy(at, word.data(), word.size());
    at += words_in(word.size());
  }
  std::copy_n(ids, count, at);
  return place;
}

void WordCache::insert(const WordKey& key, std::string_view word, const TokenId* ids, std::size_t count) {
  Entry entry{.low = key.low, .high = key.high};
  if (word.size() > WordKey::longest_inline || count > most_inline_ids || count == 0) {
    entry.ids[0] = static_cast<TokenId>(store(word, ids, count));
    entry.ids[1] = static_cast<TokenId>(count);
  } else {
    entry.high |= static_cast<std::uint64_t>(count) << 60;
    std::copy_n(ids, count, entry.ids);
  }
  Entry* pair = entries_ + (place(key) - entries_);
  pair[1] = pair[0];
  pair[0] = entry;
}

}  // namespace isotrope

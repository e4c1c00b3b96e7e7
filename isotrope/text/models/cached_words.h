#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "isotrope/text/models/word_cache.h"

namespace isotrope {

/// The ids of one thread's words: looked up, or computed and remembered. Not for several threads at once.
class CachedWords {
 public:
  explicit CachedWords(unsigned bits) : cache_(bits) {}
  /// Appends the ids of a word; `encode(word, ids)` appends them when they are not at hand.
  template <class Encode>
  void encode(std::string_view word, std::vector<TokenId>& ids, Encode&& encode_word) {
    if (word.empty()) return;
    if (word.size() > WordKey::longest) return encode_word(word, ids);
    encode(WordKey::of(word), word, ids, encode_word);
  }
  /// The same with the key of a word of 1 … WordKey::longest bytes.
  template <class Encode>
  void encode(const WordKey& key, std::string_view word, std::vector<TokenId>& ids, Encode&& encode_word) {
    if (const auto known = find(key, word); !known.empty()) return ids.insert(ids.end(), known.begin(), known.end()), void();
    const auto before = ids.size();
    encode_word(word, ids);
    remember(key, word, std::span<const TokenId>(ids).subspan(before));
  }
  /// The numbers that were remembered of a word of 1 … WordKey::longest bytes; none when it is not known. Sixteen bytes at a time can be read of
  /// them, beyond the last one, too.
  [[gnu::always_inline]] std::span<const TokenId> find(const WordKey& key, std::string_view word) const {
    const auto& entry = WordCache::pick(cache_.place(key), key);
    if (!entry.holds(key)) return {};
    std::size_t count = entry.inline_count();
    const auto* known = count > 0 ? entry.ids : cache_.ring_ids(entry, word, count);
    return known ? std::span(known, count) : std::span<const TokenId>();
  }
  /// Has the processor fetch what find() will look at.
  void prefetch(const WordKey& key) const { __builtin_prefetch(cache_.place(key)); }
  /// A while after that: what lies behind it.
  void prefetch_more(const WordKey& key) const { cache_.prefetch_ring(WordCache::pick(cache_.place(key), key)); }
  void remember(const WordKey& key, std::string_view word, std::span<const TokenId> numbers) {
    if (!numbers.empty() && numbers.size() <= most_numbers) cache_.insert(key, word, numbers.data(), numbers.size());
  }

 private:
  static constexpr std::size_t most_numbers = 4 * WordKey::longest;  ///< far below the size of the cache's ring
  WordCache cache_;
};

/// The caches of a model: each thread borrows one and gives it back for the next.
class CachedWordsPool {
 public:
  explicit CachedWordsPool(unsigned bits = 15) : bits_(bits) {}  ///< word_cache.h
  std::unique_ptr<CachedWords> take() const {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<CachedWords>(bits_);
    auto words = std::move(idle_.back());
    idle_.pop_back();
    return words;
  }
  void give(std::unique_ptr<CachedWords> words) const {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(words));
  }

 private:
  unsigned bits_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<CachedWords>> idle_;
};

/// A thread's hold on a model whose words are cached: `model.encode_word(word, ids)` computes those that are not.
template <class Model>
class CachedWorker {
 public:
  explicit CachedWorker(const Model& model) : model_(model), words_(model.caches().take()) {}
  ~CachedWorker() { model_.caches().give(std::move(words_)); }
  CachedWorker(const CachedWorker&) = delete;
  /// Appends the ids of one word.
  void encode_word(std::string_view word, std::vector<TokenId>& ids) {
    words_->encode(word, ids, [&](std::string_view unknown, std::vector<TokenId>& out) { model_.encode_word(unknown, out); });
  }

 protected:
  const Model& model() const { return model_; }

 private:
  const Model& model_;
  std::unique_ptr<CachedWords> words_;
};

}  // namespace isotrope

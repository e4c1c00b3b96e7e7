#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isotrope/text/models/word_cache.h"
#include "isotrope/text/models/word_table.h"
#include "isotrope/text/simd/merge_word.h"
#include "isotrope/text/steps/piece_scanner.h"
#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// Whether text[i] = text[i + period] wherever both are there.
inline bool has_period(std::string_view text, std::size_t period) { return text.substr(period) == text.substr(0, text.size() - period); }

/// Byte-pair encoding of words (Sennrich et al. 2016, over bytes as in GPT-2). Immutable, thread-safe.
///
/// A word starts as its bytes; the neighbours of lowest rank merge, leftmost first, until none is left: O(n log n) in the worst case.
/// A Worker remembers words it met; words that are one token are looked up whole where merging provably gives that token.
class BpeModel {
 public:
  struct Parts {
    std::array<TokenId, 256> byte_ids{};
    std::vector<BpeMerge> merges;
    std::vector<std::pair<std::string, TokenId>> words;  ///< the bytes of each token, by id
    bool ignore_merges = false;                          ///< a word that is a whole token becomes it at once
  };
  /// Throws InputError for a vocabulary of more than 2²¹ tokens or as many merges.
  explicit BpeModel(const Parts& parts);
  ~BpeModel();

  /// One thread's hold on the model: its cache and buffers, taken from the model and given back for the next.
  class Worker {
   public:
    explicit Worker(const BpeModel& model);
    ~Worker();
    Worker(const Worker&) = delete;
    /// Appends the ids of one word.
    void encode_word(std::string_view word, std::vector<TokenId>& ids);
    /// Appends the ids of the pieces of a text, valid UTF-8.
    void encode(Pattern pattern, std::string_view text, std::vector<TokenId>& ids);

   private:
    const BpeModel& model_;
    struct Memory;
    friend class BpeModel;
    std::unique_ptr<Memory> memory_;
  };

  /// The definition carried out with a heap, without tables of words: what the tests compare with, and the way for very long words.
  void merge_by_heap(std::string_view word, std::vector<TokenId>& ids) const;
  /// Nothing to merge: every byte is its own token.
  bool is_plain_bytes() const { return is_plain_bytes_; }

 private:
  void build_tables(const std::vector<BpeMerge>& merges);
  void build_words(const Parts& parts);
  std::size_t merge_short(const char* word, std::size_t size, TokenId* ids) const { return merge_short_(tables_, word, size, ids); }
  TokenId* encode_slowly(std::string_view word, const WordKey& key, const WordCache::Entry& entry, WordCache& cache, TokenId* out) const;
  TokenId* encode_long(std::string_view word, TokenId* out) const;

  std::array<TokenId, 256> byte_ids_;
  bool is_plain_bytes_ = false, ignore_merges_ = false;
  simd::MergeTables tables_{};
  simd::MergeFunction merge_short_;
  std::vector<std::uint32_t> byte_orders_;
  std::vector<std::uint64_t> slots_, filter_;
  std::vector<TokenId> results_;
  WordTable words_;  ///< those that encode to the one token that they are
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Worker::Memory>> idle_;
};

}  // namespace isotrope

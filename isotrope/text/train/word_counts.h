#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace isotrope {

/// Distinct words and how often each was seen; a flat hash table over one block of text.
class WordCounts {
 public:
  WordCounts() : table_(1 << 12, empty) {}
  void add(std::string_view word, std::int64_t count = 1);
  void add(const WordCounts& other);
  std::size_t size() const { return entries_.size(); }
  std::string_view word(std::size_t i) const { return {letters_.data() + entries_[i].offset, entries_[i].length}; }
  std::int64_t count(std::size_t i) const { return entries_[i].count; }

 private:
  static constexpr std::uint32_t empty = ~std::uint32_t{0};
  struct Entry {
    std::uint64_t hash, offset;
    std::uint32_t length;
    std::int64_t count;
  };
  void grow();
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> table_;  ///< entry by hash, open addressing, at most half full
  std::string letters_;
};

/// Counts a text's words on several threads, each taking lines of it: count(part, counts) counts those of a part. The sum is the same for
/// every number of threads; the order of words is not.
void count_in_parts(std::string_view text, int threads, WordCounts& counts,
                    const std::function<void(std::string_view, WordCounts&)>& count);

/// What a trainer refuses of special tokens: empty ones, doubles, those that are not UTF-8 (UsageError).
void check_special_tokens(const std::vector<std::string>& tokens);

}  // namespace isotrope

#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "isotrope/text/models/word_cache.h"
#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

/// What is known of a text's words without the sum of scores before them, in order, for a unigram model in single precision (unigram.h).
/// The raw text that they come from outlives it.
class StagedWords {
 public:
  struct Word {
    std::string_view raw;        ///< what it comes from
    std::uint32_t count_places;  ///< how many numbers it has, << 2; whether it begins a text << 1, and ends one
    float limit;                 ///< how near to 0 the sum before it must be for them; 0: never near enough; below 0: it is an added token
    std::uint32_t count() const { return count_places >> 2; }
    bool begins() const { return (count_places & 2) != 0; }
    bool ends() const { return (count_places & 1) != 0; }
  };
  static constexpr float is_token = -1;

  /// `known` are the numbers and behind them the limit's bits; sixteen bytes at a time are read of it, beyond the last one, too.
  [[gnu::always_inline]] void put(std::string_view raw, bool begins, bool ends, std::span<const TokenId> known) {
    constexpr auto step = WordCache::most_inline_ids;
    const auto count = known.size() - 1;
    if (size_ + count + step > numbers_.size()) [[unlikely]]
      numbers_.resize(2 * (size_ + count + step));
    for (std::size_t i = 0; i < count; i += step) std::memcpy(numbers_.data() + size_ + i, known.data() + i, step * sizeof(TokenId));
    size_ += count;
    if (word_count_ == words_.size()) [[unlikely]]
      words_.resize(2 * word_count_ + 64);
    auto& word = words_[word_count_++];
    // One after another: GCC would put the whole together in other memory, and wait for that before it copies it here.
    word.raw = raw;
    word.count_places = static_cast<std::uint32_t>(count << 2 | unsigned{begins} << 1 | unsigned{ends});
    word.limit = std::bit_cast<float>(known.back());
  }
  void put_token(TokenId id) {
    const TokenId known[] = {id, std::bit_cast<TokenId>(is_token), 0, 0, 0};
    put({}, false, false, std::span(known).first(2));
  }
  void clear() { word_count_ = size_ = 0; }

  std::span<const Word> words() const { return std::span(words_).first(word_count_); }
  std::span<const TokenId> numbers() const { return std::span(numbers_).first(size_); }

 private:
  std::vector<Word> words_;
  std::vector<TokenId> numbers_;
  std::size_t word_count_ = 0, size_ = 0;  ///< how many of them count
};

}  // namespace isotrope

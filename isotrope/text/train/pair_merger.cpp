#include "isotrope/text/train/pair_merger.h"

#include <algorithm>
#include <utility>

#include "isotrope/text/steps/hash.h"

namespace isotrope {

std::uint32_t PairMerger::PairTable::number(TokenId left, TokenId right) {
  const auto key = static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  auto place = mix(key, 0x9E3779B97F4A7C15u) & (table_.size() - 1);
  for (; table_[place] != empty; place = (place + 1) & (table_.size() - 1))
    if (keys_[table_[place]] == key) return table_[place];
  const auto fresh = static_cast<std::uint32_t>(keys_.size());
  table_[place] = fresh;
  keys_.push_back(key);
  counts.push_back(0);
  words.emplace_back();
  if (keys_.size() * 2 > table_.size()) grow();
  return fresh;
}

void PairMerger::PairTable::grow() {
  table_.assign(table_.size() * 2, empty);
  for (std::uint32_t pair = 0; pair < keys_.size(); ++pair) {
    auto place = mix(keys_[pair], 0x9E3779B97F4A7C15u) & (table_.size() - 1);
    while (table_[place] != empty) place = (place + 1) & (table_.size() - 1);
    table_[place] = pair;
  }
}

void PairMerger::add_word(std::span<const TokenId> symbols, std::int64_t count) {
  const auto word = static_cast<std::uint32_t>(counts_.size());
  counts_.push_back(count);
  starts_.push_back(symbols_.size());
  sizes_.push_back(static_cast<std::uint32_t>(symbols.size()));
  symbols_.insert(symbols_.end(), symbols.begin(), symbols.end());
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) change(symbols[i], symbols[i + 1], word, 1);
}

std::optional<BpeMerge> PairMerger::best(std::int64_t min_frequency) {
  push_changed();
  while (!heap_.empty()) {
    auto& top = heap_.front();
    const auto count = pairs_.counts[top.pair];
    if (top.count == count) {
      if (count < std::max<std::int64_t>(min_frequency, 1)) return std::nullopt;
      std::ranges::pop_heap(heap_, Less{});
      current_ = std::move(heap_.back());
      heap_.pop_back();
      return BpeMerge{pairs_.left(current_.pair), pairs_.right(current_.pair), 0};
    }
    std::ranges::pop_heap(heap_, Less{});
    heap_.back().count = count;
    std::ranges::push_heap(heap_, Less{});
  }
  return std::nullopt;
}

void PairMerger::apply(const BpeMerge& merge) {
  if (const auto result = static_cast<std::size_t>(merge.result); result >= lengths_.size()) lengths_.resize(result + 1, 1);
  lengths_[static_cast<std::size_t>(merge.result)] = length(merge.left) + length(merge.right);
  for (const auto word : current_.words) merge_word(word, merge);
}

void PairMerger::change(TokenId left, TokenId right, std::uint32_t word, int by) {
  const auto pair = pairs_.number(left, right);
  pairs_.counts[pair] += by * counts_[word];
  if (by < 0) return;
  auto& words = pairs_.words[pair];
  if (words.empty()) changed_.push_back(pair);
  if (words.empty() || words.back() != word) words.push_back(word);
}

void PairMerger::push_changed() {
  for (const auto pair : changed_) {
    auto words = std::exchange(pairs_.words[pair], {});
    if (pairs_.counts[pair] <= 0) continue;
    heap_.push_back({pairs_.counts[pair], pairs_.key(pair), pair, std::move(words)});
    std::ranges::push_heap(heap_, Less{});
  }
  changed_.clear();
}

void PairMerger::merge_word(std::uint32_t word, const BpeMerge& merge) {
  TokenId* symbols = symbols_.data() + starts_[word];
  const std::uint32_t size = sizes_[word];
  std::uint32_t written = 0;
  const auto fits = [&](TokenId neighbour) { return longest_token_ == 0 || length(neighbour) + length(merge.result) < longest_token_; };
  for (std::uint32_t i = 0; i < size; ++i, ++written) {
    const bool merges = symbols[i] == merge.left && i + 1 < size && symbols[i + 1] == merge.right;
    if (!merges) {
      symbols[written] = symbols[i];
      continue;
    }
    if (written > 0) {
      const auto before = symbols[written - 1];
      change(before, merge.left, word, -1);
      if (fits(before)) change(before, merge.result, word, 1);
    }
    if (i + 2 < size) {
      const auto behind = symbols[i + 2];
      change(merge.right, behind, word, -1);
      if (fits(behind)) change(merge.result, behind, word, 1);
    }
    symbols[written] = merge.result;
    ++i;
  }
  sizes_[word] = written;
}

}  // namespace isotrope

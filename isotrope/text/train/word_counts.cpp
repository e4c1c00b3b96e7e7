#include "isotrope/text/train/word_counts.h"

#include <algorithm>
#include <thread>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/hash.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

void WordCounts::add(std::string_view word, std::int64_t count) {
  const auto hash = hash_bytes(word);
  auto place = hash & (table_.size() - 1);
  for (; table_[place] != empty; place = (place + 1) & (table_.size() - 1)) {
    auto& entry = entries_[table_[place]];
    if (entry.hash != hash || this->word(table_[place]) != word) continue;
    entry.count += count;
    return;
  }
  table_[place] = static_cast<std::uint32_t>(entries_.size());
  entries_.push_back({hash, letters_.size(), static_cast<std::uint32_t>(word.size()), count});
  letters_ += word;
  if (entries_.size() * 2 > table_.size()) grow();
}

void WordCounts::add(const WordCounts& other) {
  for (std::size_t i = 0; i < other.size(); ++i) add(other.word(i), other.count(i));
}

void WordCounts::grow() {
  table_.assign(table_.size() * 2, empty);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto place = entries_[i].hash & (table_.size() - 1);
    while (table_[place] != empty) place = (place + 1) & (table_.size() - 1);
    table_[place] = static_cast<std::uint32_t>(i);
  }
}

void count_in_parts(std::string_view text, int threads, WordCounts& counts,
                    const std::function<void(std::string_view, WordCounts&)>& count) {
  constexpr std::size_t least_part = 1 << 16;
  const auto parts = std::clamp<std::size_t>(text.size() / least_part, 1, static_cast<std::size_t>(std::max(threads, 1)));
  std::vector<WordCounts> found(parts);
  {
    std::vector<std::jthread> workers;
    std::size_t start = 0;
    for (std::size_t part = 0; part < parts; ++part) {
      const auto feed = part + 1 < parts ? text.find('\n', std::max(start, text.size() / parts * (part + 1))) : std::string_view::npos;
      const auto end = feed == std::string_view::npos ? text.size() : feed + 1;
      workers.emplace_back([&, slice = text.substr(start, end - start), part] { count(slice, found[part]); });
      start = end;
    }
  }
  for (const auto& part : found) counts.add(part);
}

void check_special_tokens(const std::vector<std::string>& tokens) {
  auto sorted = tokens;
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    throw UsageError("tokenizer", "special token \"{}\" is given twice", *twice);
  if (!sorted.empty() && sorted.front().empty()) throw UsageError("tokenizer", "a special token is empty");
  for (const auto& token : sorted)
    if (check_utf8(token)) throw UsageError("tokenizer", "a special token is not UTF-8");
}

}  // namespace isotrope

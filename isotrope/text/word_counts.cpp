#include "isotrope/text/word_counts.h"

#include "isotrope/text/hash.h"

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

}  // namespace isotrope

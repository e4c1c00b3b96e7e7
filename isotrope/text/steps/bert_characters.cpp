#include "isotrope/text/steps/bert_characters.h"

#include <algorithm>

#include "isotrope/text/unicode/normalization.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

/// Whether nothing about the code point is of interest to BERT's cleaning and splitting.
bool is_plain(const NormalizationTable& table, char32_t c) {
  if ((table.traits(c) & ~text_trait::numeric) != 0 || table.combining_class(c) != 0 || !table.lowercase().find(c).empty()) return false;
  bool same = true;
  table.decompose(c, [&](char32_t part) { same &= part == c; });
  return same;
}

bool is_ascii_word(std::string_view word) {
  return std::ranges::all_of(word, [](char c) { return c > ' ' && c < 0x7F; });
}

}  // namespace

BertCharacters::BertCharacters(const Normalizer& normalizer)
    : normalizer_(normalizer),
      bytes_(code_point_count, static_cast<std::uint8_t>(Kind::word)),
      pages_(code_point_count >> 8),
      entries_(256) {
  const auto& table = NormalizationTable::instance();
  const auto cleaning = *normalizer.only_bert();
  lowercases_ = cleaning.lowercase;
  Normalizer::Scratch scratch;
  std::string text;
  for (char32_t c = 0; c < code_point_count; ++c) {
    if ((c >= 0xD800 && c < 0xE000) || is_plain(table, c)) continue;
    text.clear();
    append_utf8(text, c);
    set(c, normalizer.apply(text, scratch), cleaning.strip_accents);
  }
}

void BertCharacters::set(char32_t code_point, std::string_view becomes, bool orders_marks) {
  const auto& table = NormalizationTable::instance();
  std::size_t parts = 0, separators = 0, boundaries = 0;
  bool first = false, last = false;
  std::uint8_t flags = 0;
  for (std::size_t position = 0; position < becomes.size(); ++parts) {
    const auto part = next_code_point(becomes, position);
    last = table.traits(part) & (text_trait::separator | text_trait::punctuation);
    if (parts == 0) first = last;
    boundaries += last;
    separators += (table.traits(part) & text_trait::separator) != 0;
    if (orders_marks && table.combining_class(part) != 0) flags |= waits;
  }
  auto kind = Kind::word;
  if (parts > 0 && separators == parts) kind = Kind::separator;
  else if (first && last) kind = Kind::alone;
  else if (boundaries > 0) usable_ = false;

  std::string text;
  append_utf8(text, code_point);
  if (becomes.size() > most_growth * text.size()) usable_ = false;
  if (becomes != text) {
    flags |= changes;
    auto& page = pages_[code_point >> 8];
    if (page == 0) {
      page = static_cast<std::uint16_t>(entries_.size() >> 8);
      entries_.resize(entries_.size() + 256);
    }
    entries_[std::size_t{page} << 8 | (code_point & 0xFF)] =
        static_cast<std::uint32_t>(texts_.size() << 8) | static_cast<std::uint32_t>(becomes.size());
    texts_ += becomes;
  }
  bytes_[code_point] = static_cast<std::uint8_t>(kind) | flags;
}

std::string_view BertCharacters::clean(std::string_view word, Normalizer::Scratch& scratch) const {
  if (lowercases_ ? is_ascii_word(word) && std::ranges::none_of(word, [](char c) { return c >= 'A' && c <= 'Z'; }) : is_ascii_word(word))
    return word;
  auto& result = scratch.texts[0];
  result.clear();
  for (std::size_t position = 0; position < word.size();) {
    const auto begin = position;
    const auto code_point = next_code_point(word, position);
    const auto flags = bytes_[code_point];
    if (flags & waits) return normalizer_.apply(word, scratch);
    if (flags & changes) {
      const auto entry = entries_[std::size_t{pages_[code_point >> 8]} << 8 | (code_point & 0xFF)];
      result.append(texts_, entry >> 8, entry & 0xFF);
    } else {
      result.append(word, begin, position - begin);
    }
  }
  return result;
}

}  // namespace isotrope

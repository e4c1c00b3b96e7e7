#include "isotrope/text/unicode/composition.h"

#include <cstring>

#include "isotrope/text/unicode/normalization.h"
#include "isotrope/text/unicode/normalization_tables.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

namespace tables = normalization_tables;

}  // namespace

CompositionCheck::CompositionCheck() : states_(code_point_count, settled) {
  const auto& table = NormalizationTable::instance();
  std::string text, composed;
  for (char32_t c = 0; c < code_point_count; ++c) {
    states_[c] = table.combining_class(c);
    std::size_t parts = 0;
    bool same = true;
    table.decompose(c, [&](char32_t part) { ++parts, same &= part == c; });
    if (same || (c >= 0xD800 && c < 0xE000)) continue;
    text.clear(), composed.clear();
    append_utf8(text, c);
    append_nfc(text, composed);
    if (composed != text) states_[c] = unsettled;
  }
  for (std::size_t i = 1; i < tables::compositions_size; i += 3) states_[tables::compositions[i]] = unsettled;
  for (char32_t c = 0x1161; c < 0x1176; ++c) states_[c] = unsettled;  // vowels and final consonants of Hangul
  for (char32_t c = 0x11A8; c < 0x11C3; ++c) states_[c] = unsettled;
}

const CompositionCheck& CompositionCheck::instance() {
  static const CompositionCheck check;
  return check;
}

std::size_t CompositionCheck::first_unsettled(std::string_view text, std::size_t position) const {
  std::uint8_t last = 0;
  while (position < text.size()) {
    const auto here = position;
    if (static_cast<unsigned char>(text[position]) < 0x80) {
      last = 0;
      for (std::uint64_t bytes = 0; position + 8 <= text.size(); position += 8) {
        std::memcpy(&bytes, text.data() + position, 8);
        if ((bytes & 0x8080808080808080u) != 0) break;
      }
      while (position < text.size() && static_cast<unsigned char>(text[position]) < 0x80) ++position;
      continue;
    }
    const auto state = states_[next_code_point(text, position)];
    if (state == unsettled || (state != settled && state < last)) return here;
    last = state;
  }
  return position;
}

void CompositionCheck::append_composed(std::string_view text, std::string& result) const {
  for (std::size_t position = 0; position < text.size();) {
    const auto found = first_unsettled(text, position);
    auto begin = found;
    while (begin > position && found < text.size()) {  // to the settled starter before it
      do --begin;
      while ((static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80);
      auto next = begin;
      if (states_[next_code_point(text, next)] == settled) break;
    }
    result.append(text, position, begin - position);
    auto end = found;
    for (auto next = end; next < text.size(); end = next)
      if (states_[next_code_point(text, next)] == settled) break;
    append_nfc(text.substr(begin, end - begin), result);
    position = end;
  }
}

}  // namespace isotrope

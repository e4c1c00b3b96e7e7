#include "isotrope/text/space_cuts.h"

#include "isotrope/text/utf8.h"

namespace isotrope {

SpaceCuts::SpaceCuts(const Changes& changes) : changes_(changes) {
  add_space(' ');
  for (unsigned char c = 0x21; c < 0x7F; ++c)
    for (const auto stop : {Stop::space, Stop::punctuation})
      if (keeps(c, stop) && (stop == Stop::space || is_of_letters(c))) ascii_[c] = stop;
}

bool SpaceCuts::keeps(char32_t character, Stop stop) const {
  const auto* charsmap = changes_.charsmap;
  if (charsmap && stop == Stop::punctuation && !charsmap->stands_alone(character)) return false;
  return !charsmap || (changes_.by_clusters ? charsmap->keeps_apart(character) : charsmap->keeps(character));
}

bool SpaceCuts::is_of_letters(char32_t character) {
  const auto& table = UnicodeTable::instance();
  const auto category = table.category(character);
  return table.kind(character) == CharKind::letter || (category >= Category::Mn && category <= Category::Me);
}

bool SpaceCuts::may_cut_behind_wide(std::string_view text, std::size_t position, Stop stop) const {
  do --position;
  while ((static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  const auto character = next_code_point(text, position);
  const auto& table = UnicodeTable::instance();
  const auto kind = table.kind(character);
  const auto category = table.category(character);
  const bool is_mark = category >= Category::Mn && category <= Category::Me;
  if (kind != CharKind::letter && !(changes_.keeps_marks && is_mark) && (kind != CharKind::number || stop != Stop::space)) return false;
  return keeps(character, stop);
}

}  // namespace isotrope

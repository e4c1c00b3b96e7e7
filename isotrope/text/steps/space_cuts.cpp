#include "isotrope/text/steps/space_cuts.h"

#include <cstring>

#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

SpaceCuts::SpaceCuts(const Changes& changes) : changes_(changes) {
  add_space(' ');
  for (unsigned char c = 0x21; c < 0x7F; ++c) {
    if (keeps(c, Stop::space)) sets_[before_spaces].add(c);
    if (keeps(c, Stop::punctuation) && is_of_letters(c)) sets_[before_punctuation].add(c);
  }
  stops_.resize(0x10000);
  for (char32_t character = 0x80; character < 0x10000; ++character) stops_[character] = find_stop(character);
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

SpaceCuts::Stop SpaceCuts::find_stop(char32_t wide) const {
  const auto& table = UnicodeTable::instance();
  const auto kind = table.kind(wide);
  const auto category = table.category(wide);
  const bool is_mark = category >= Category::Mn && category <= Category::Me;
  const bool is_of_word = kind == CharKind::letter || (changes_.keeps_marks && is_mark);
  if (is_of_word && keeps(wide, Stop::punctuation)) return Stop::punctuation;
  return (is_of_word || kind == CharKind::number) && keeps(wide, Stop::space) ? Stop::space : Stop::none;
}

bool SpaceCuts::may_cut(std::string_view text, std::size_t position) const {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto at = byte(position), before = byte(position - 1);
  const bool is_space = sets_[spaces].has(at), is_punctuation = sets_[punctuation].has(at);
  if (!is_space && !is_punctuation) return false;
  if (before < 0x80) return (is_space && sets_[before_spaces].has(before)) || (is_punctuation && sets_[before_punctuation].has(before));
  auto start = position - 1;
  while (start > 0 && position - start < 4 && (byte(start) & 0xC0) == 0x80) --start;
  const auto step = utf8_step(text, start);
  if (!step.valid || start + step.length != position) return false;
  const auto stop = step.code_point < 0x10000 ? stops_[step.code_point] : find_stop(step.code_point);
  return stop >= (is_space ? Stop::space : Stop::punctuation);
}

bool SpaceCuts::Walk::next_block() {
  block_ += size;
  if (block_ >= text_.size()) return block_ = text_.size(), false;
  if (block_ == end_) {
    const auto blocks = std::min((text_.size() - block_) / size, ahead);
    static const auto masks_of = simd::byte_sets().fastest();
    if (blocks > 0) {
      masks_of(text_.data() + block_, blocks, cuts_.sets_, masks_.data());
      end_ += blocks * size;
    } else {
      char last[size] = {};
      std::memcpy(last, text_.data() + block_, text_.size() - block_);
      masks_of(last, 1, cuts_.sets_, masks_.data());
      end_ += size;
    }
    first_ = block_;
  }
  const auto& masks = masks_[(block_ - first_) / size];
  const auto behind = [&](std::uint64_t now, std::uint64_t before) { return now << 1 | before >> 63; };
  const auto& [in, wide] = masks;
  bits_ = (in[spaces] & behind(in[before_spaces], before_.in[before_spaces])) |
          (in[punctuation] & behind(in[before_punctuation], before_.in[before_punctuation]));
  for (auto open = (in[spaces] | in[punctuation]) & behind(wide, before_.wide); open != 0; open &= open - 1) {
    const auto bit = open & -open;
    auto position = block_ + static_cast<std::size_t>(std::countr_zero(open));
    do --position;
    while ((static_cast<unsigned char>(text_[position]) & 0xC0) == 0x80);
    const auto character = next_code_point(text_, position);
    const auto stop = character < 0x10000 ? cuts_.stops_[character] : cuts_.find_stop(character);
    if (stop >= ((in[spaces] & bit) != 0 ? Stop::space : Stop::punctuation)) bits_ |= bit;
  }
  before_ = masks;
  return true;
}

}  // namespace isotrope

#include "isotrope/text/unicode/graphemes.h"

#include <algorithm>

#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

using Class = GraphemeClass;

constexpr std::uint8_t consonant = 16, linker = 32, conjunct_extend = 64;  // Indic_Conjunct_Break

/// Whether the rules GB3 to GB9b join two neighbours, which need no more than the two.
bool joins(Class before, Class after) {
  if (before == Class::carriage_return) return after == Class::line_feed;
  if (before == Class::control || before == Class::line_feed) return false;
  switch (after) {
    case Class::carriage_return:
    case Class::line_feed:
    case Class::control: return false;
    case Class::extend:
    case Class::joiner:
    case Class::spacing_mark: return true;
    case Class::leading:
    case Class::syllable:
    case Class::full_syllable: return before == Class::leading || before == Class::prepend;
    case Class::vowel: return before == Class::leading || before == Class::vowel || before == Class::syllable || before == Class::prepend;
    case Class::trailing:
      return before == Class::vowel || before == Class::syllable || before == Class::trailing || before == Class::full_syllable ||
             before == Class::prepend;
    default: return before == Class::prepend;
  }
}

/// What the rules GB9c, GB11 and GB12 remember of a cluster.
struct Memory {
  bool conjunct = false, linked = false;  ///< a consonant, extends and linkers behind it
  bool picture = false, joined = false;   ///< a pictograph, extends behind it, then a joiner
  bool odd_indicators = false;

  void take(std::uint8_t byte) {
    const auto kind = static_cast<Class>(byte & 15);
    if (byte & consonant) conjunct = true, linked = false;
    else if (byte & linker) linked = conjunct;
    else if (!(byte & conjunct_extend)) conjunct = linked = false;
    joined = picture && kind == Class::joiner;
    picture = kind == Class::pictograph || (picture && kind == Class::extend);
    odd_indicators = kind == Class::regional_indicator && !odd_indicators;
  }
  bool joins(std::uint8_t byte) const {
    const auto kind = static_cast<Class>(byte & 15);
    return (linked && byte & consonant) || (joined && kind == Class::pictograph) || (odd_indicators && kind == Class::regional_indicator);
  }
};

}  // namespace

GraphemeTable::GraphemeTable() : bytes_(0x110000) {
  namespace tables = grapheme_tables;
  for (std::size_t i = 0; i < tables::runs_size; ++i) {
    const std::size_t first = tables::runs[i] >> 8, last = i + 1 < tables::runs_size ? tables::runs[i + 1] >> 8 : bytes_.size();
    std::fill(bytes_.begin() + static_cast<std::ptrdiff_t>(first), bytes_.begin() + static_cast<std::ptrdiff_t>(last),
              static_cast<std::uint8_t>(tables::runs[i]));
  }
}

const GraphemeTable& GraphemeTable::instance() {
  static const GraphemeTable table;
  return table;
}

std::size_t GraphemeTable::length(std::string_view text, std::size_t position) const {
  const auto start = position;
  Memory memory;
  auto before = bytes_[next_code_point(text, position)];
  memory.take(before);
  while (position < text.size()) {
    auto next = position;
    const auto after = bytes_[next_code_point(text, next)];
    if (!joins(static_cast<Class>(before & 15), static_cast<Class>(after & 15)) && !memory.joins(after)) break;
    memory.take(after);
    before = after;
    position = next;
  }
  return position - start;
}

}  // namespace isotrope

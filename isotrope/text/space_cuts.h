#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "isotrope/text/charsmap.h"
#include "isotrope/text/unicode.h"
#include "isotrope/text/word_key.h"

namespace isotrope {

/// Places where raw text can be cut so that each part is normalized and cut into words by itself: before a space behind a letter, a number,
/// a mark or a visible ASCII character that all normalization leaves in place, and, where that is asked for, before other white space or
/// punctuation of ASCII. The ids of a part can be remembered for its raw bytes.
class SpaceCuts {
 public:
  /// What normalization does to characters besides what it does to letters, numbers and ASCII.
  struct Changes {
    bool keeps_marks = true;             ///< none disappears
    const Charsmap* charsmap = nullptr;  ///< outlives this object
    bool by_clusters = false;            ///< how the charsmap is used
  };
  explicit SpaceCuts(const Changes& changes);

  /// An ASCII character that is to be as a space, for which all of it holds that holds for a space.
  void add_space(unsigned char character) { stops_[character] = Stop::space; }
  /// One before which a cut may be, too, but behind letters and their marks alone, of those that normalization never joins to others before.
  void add_punctuation(unsigned char character) { stops_[character] = Stop::punctuation; }

  /// The first such place behind `position`, or text.size().
  std::size_t next(std::string_view text, std::size_t position) const {
    while (++position < text.size()) {
      const auto stop = stops_[static_cast<unsigned char>(text[position])];
      if (stop != Stop::none && may_cut_behind(text, position, stop)) return position;
    }
    return text.size();
  }
  /// Whether the character is a letter, or a mark.
  static bool is_of_letters(char32_t character);

 private:
  enum class Stop : std::uint8_t { none, space, punctuation };
  /// Whether the character before `position` > 0 allows a cut.
  bool may_cut_behind(std::string_view text, std::size_t position, Stop stop) const {
    const auto byte = static_cast<unsigned char>(text[position - 1]);
    return byte < 0x80 ? ascii_[byte] >= stop : may_cut_behind_wide(text, position, stop);
  }
  bool keeps(char32_t character, Stop stop) const;
  bool may_cut_behind_wide(std::string_view text, std::size_t position, Stop stop) const;

  std::array<Stop, 256> stops_{};
  std::array<Stop, 128> ascii_{};  ///< the most that a cut may be before, behind each
  Changes changes_;
};

/// A part of a text; the key of one of at most WordKey::longest bytes.
struct TextPart {
  std::string_view text;
  WordKey key;
  bool begins = false, ends = false;  ///< it is the first, the last
};

/// Visits the parts of a text in order; announce(key) and then expect(key) are called some parts ahead, so that memory can be fetched in
/// the meantime.
template <class Announce, class Expect, class Visit>
void for_each_part(const SpaceCuts& cuts, std::string_view text, Announce&& announce, Expect&& expect, Visit&& visit) {
  constexpr std::size_t ahead = 16;
  TextPart parts[ahead];
  for (std::size_t start = 0; start < text.size();) {
    std::size_t count = 0;
    for (; count < ahead && start < text.size(); ++count) {
      const auto end = cuts.next(text, start);
      auto& part = parts[count];
      part = {.text = text.substr(start, end - start), .begins = start == 0, .ends = end == text.size()};
      start = end;
      if (part.text.size() > WordKey::longest) continue;
      const bool is_readable = part.text.size() <= WordKey::longest_inline && part.text.data() + 16 <= text.data() + text.size();
      part.key = is_readable ? WordKey::of_short(part.text.data(), part.text.size()) : WordKey::of(part.text);
      announce(part.key);
    }
    for (std::size_t i = 0; i < count; ++i)
      if (parts[i].text.size() <= WordKey::longest) expect(parts[i].key);
    for (std::size_t i = 0; i < count; ++i) visit(parts[i]);
  }
}

}  // namespace isotrope

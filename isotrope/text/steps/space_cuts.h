#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "isotrope/text/simd/byte_sets.h"
#include "isotrope/text/steps/charsmap.h"
#include "isotrope/text/steps/word_key.h"
#include "isotrope/text/unicode/unicode.h"

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
  void add_space(unsigned char ascii) { sets_[spaces].add(ascii); }
  /// One before which a cut may be, too, but behind letters and their marks alone, of those that normalization never joins to others before.
  void add_punctuation(unsigned char ascii) { sets_[punctuation].add(ascii); }
  /// Whether a cut is at a position > 0 of text, which may have bytes that are not UTF-8 elsewhere.
  bool may_cut(std::string_view text, std::size_t position) const;
  /// Whether the character is a letter, or a mark.
  static bool is_of_letters(char32_t character);

  /// Goes through a text from cut to cut; the cuts and the text outlive it.
  class Walk {
   public:
    Walk(const SpaceCuts& cuts, std::string_view text) : cuts_(cuts), text_(text) {}
    /// The next place, or text.size() when there is none.
    std::size_t next() {
      while (bits_ == 0)
        if (!next_block()) return text_.size();
      const auto place = block_ + static_cast<std::size_t>(std::countr_zero(bits_));
      bits_ &= bits_ - 1;
      return place;
    }

   private:
    static constexpr std::size_t size = 64, ahead = 16;  // bytes of a block, and how many of them are looked at together
    bool next_block();

    const SpaceCuts& cuts_;
    std::string_view text_;
    std::array<simd::ByteSetMasks, ahead> masks_;
    std::size_t first_ = 0, end_ = 0;  ///< of the blocks that were looked at
    std::size_t block_ = 0 - size;     ///< where the present block begins
    std::uint64_t bits_ = 0;           ///< its places that are left
    simd::ByteSetMasks before_{};      ///< of the last block
  };

 private:
  enum Set : std::uint8_t { spaces, punctuation, before_spaces, before_punctuation };
  /// What a cut may be before, behind a character that is not ASCII.
  enum class Stop : std::uint8_t { none, space, punctuation };
  bool keeps(char32_t character, Stop stop) const;
  Stop find_stop(char32_t wide) const;

  std::array<simd::AsciiSet, 4> sets_;  ///< by Set
  std::vector<Stop> stops_;             ///< by code point below U+10000, of those beyond ASCII
  Changes changes_;
};

/// A part of a text.
struct TextPart {
  std::string_view text;
  WordKey key;                        ///< of a longer one than WordKey::longest bytes: anything
  bool begins = false, ends = false;  ///< it is the first, the last
};

/// Visits the parts of a text, which begins and ends there or goes on, in order; announce(key) and then expect(key) are called some parts
/// ahead, so that memory can be fetched in the meantime.
template <class Announce, class Expect, class Visit>
void for_each_part(const SpaceCuts& cuts, std::string_view text, bool begins, bool ends, Announce&& announce, Expect&& expect,
                   Visit&& visit) {
  constexpr std::size_t ahead = 16;
  TextPart parts[ahead];
  SpaceCuts::Walk walk(cuts, text);
  for (std::size_t start = 0; start < text.size();) {
    std::size_t count = 0;
    for (; count < ahead && start < text.size(); ++count) {
      const auto end = walk.next();
      auto& part = parts[count];
      // One after another: GCC would put the whole together in other memory, and wait for that before it copies it here.
      part.text = std::string_view(text.data() + start, end - start);
      part.begins = begins && start == 0;
      part.ends = ends && end == text.size();
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

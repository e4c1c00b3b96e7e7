#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace isotrope {

/// What a code point does at the boundaries of extended grapheme clusters (Unicode 17.0, UAX #29).
enum class GraphemeClass : std::uint8_t {
  other,
  carriage_return,
  line_feed,
  control,
  extend,
  joiner,
  regional_indicator,
  prepend,
  spacing_mark,
  leading,        // Hangul
  vowel,          // Hangul
  trailing,       // Hangul
  syllable,       // Hangul, leading and vowel
  full_syllable,  // Hangul, leading, vowel and trailing
  pictograph
};

/// Extended grapheme clusters of valid UTF-8: what a reader takes for one character. Built from generated runs at first use (1.1 MB).
class GraphemeTable {
 public:
  static const GraphemeTable& instance();
  GraphemeClass kind(char32_t code_point) const { return static_cast<GraphemeClass>(bytes_[code_point] & 15); }
  /// Between two code points that are both plain there is always a boundary.
  bool is_plain(char32_t code_point) const {
    constexpr std::uint32_t plain = 1u << static_cast<int>(GraphemeClass::other) | 1u << static_cast<int>(GraphemeClass::control) |
                                    1u << static_cast<int>(GraphemeClass::line_feed) | 1u << static_cast<int>(GraphemeClass::syllable) |
                                    1u << static_cast<int>(GraphemeClass::full_syllable) |
                                    1u << static_cast<int>(GraphemeClass::pictograph);
    return plain >> static_cast<int>(kind(code_point)) & 1;
  }
  /// The length of the cluster that begins at `position` < text.size(), which must be a boundary.
  std::size_t length(std::string_view text, std::size_t position) const;

 private:
  GraphemeTable();
  std::vector<std::uint8_t> bytes_;  ///< class, and flags of Indic_Conjunct_Break above it
};

namespace grapheme_tables {
/// First code point << 8 | class and flags, of every run of equal ones.
extern const std::uint32_t runs[];
extern const std::size_t runs_size;
}  // namespace grapheme_tables

}  // namespace isotrope

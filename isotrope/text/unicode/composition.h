#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace isotrope {

/// Normalization form C of text that is composed for the most part already: what is settled is passed over, and only what is not goes
/// through append_nfc() (the quick check of Unicode 16.0, annex 15, with the tables of this program). Immutable, thread-safe.
class CompositionCheck {
 public:
  static const CompositionCheck& instance();
  /// Whether NFC leaves the text (valid UTF-8) as it is.
  bool is_composed(std::string_view text) const { return first_unsettled(text, 0) == text.size(); }
  /// append_nfc().
  void append_composed(std::string_view text, std::string& result) const;

 private:
  // A starter that stays as it is and never composes with what comes before it; a mark that stays where marks are in order is its
  // combining class; all else.
  static constexpr std::uint8_t settled = 0, unsettled = 255;

  CompositionCheck();
  /// The first code point from `position`, which no mark comes before, that may not stay as it is; text.size() when there is none.
  std::size_t first_unsettled(std::string_view text, std::size_t position) const;

  std::vector<std::uint8_t> states_;  ///< by code point
};

}  // namespace isotrope

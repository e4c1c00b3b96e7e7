#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/normalizer.h"

namespace isotrope {

/// What BertNormalizer and BertPreTokenizer make of each code point by itself, asked of them once: the words of a text can then be found in
/// the text as it is, and cleaned one by one. Immutable, thread-safe.
///
/// word       becomes characters inside a word, or nothing
/// alone      its own word, or several: punctuation, ideographs
/// separator  parts words
class BertCharacters {
 public:
  enum class Kind : std::uint8_t { word = 1, alone = 2, separator = 3 };

  /// The normalizer must be a BertNormalizer alone and outlive this.
  explicit BertCharacters(const Normalizer& normalizer);

  /// Whether every code point is of one of the kinds, so that this class can be used at all.
  bool are_usable() const { return usable_; }
  bool lowercases() const { return lowercases_; }
  Kind kind(char32_t code_point) const { return static_cast<Kind>(bytes_[code_point] & 3); }
  /// What the normalizer makes of a word, or of a character that is alone; it lies in the word itself or in `scratch`. ASCII capitals may
  /// have been made small before. No code point grows to more than `most_growth` times its bytes.
  std::string_view clean(std::string_view word, Normalizer::Scratch& scratch) const;
  static constexpr std::size_t most_growth = 4;

 private:
  static constexpr std::uint8_t changes = 4;  ///< becomes what its entry says
  static constexpr std::uint8_t waits = 8;    ///< has a mark that the normalizer puts in order with others

  void set(char32_t code_point, std::string_view becomes, bool orders_marks);

  const Normalizer& normalizer_;
  bool usable_ = true, lowercases_;
  std::vector<std::uint8_t> bytes_;     ///< by code point: kind and flags
  std::vector<std::uint16_t> pages_;    ///< by code point / 256; 0: no entries
  std::vector<std::uint32_t> entries_;  ///< first of `texts_` << 8 | length
  std::string texts_;
};

}  // namespace isotrope

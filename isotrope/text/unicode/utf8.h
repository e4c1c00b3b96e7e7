#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace isotrope {

inline constexpr char32_t code_point_count = 0x110000;

/// One step through bytes that claim to be UTF-8. Invalid: the maximal subpart of a broken sequence (Unicode 16.0 §3.9, "U+FFFD
/// substitution of maximal subparts"), `length` ≥ 1 bytes that one U+FFFD replaces. `cut`: the text ends inside a sequence valid so far.
struct Utf8Step {
  char32_t code_point = 0xFFFD;
  std::uint32_t length = 1;
  bool valid = false;
  bool cut = false;
};

/// The step at `position` < text.size(), of whatever there is.
Utf8Step any_utf8_step(std::string_view text, std::size_t position);

/// The same, soon told of characters of up to three bytes.
inline Utf8Step utf8_step(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const auto lead = byte(position);
  if (lead < 0x80) return {lead, 1, true, false};
  if (position + 1 < text.size() && (byte(position + 1) & 0xC0) == 0x80) {
    if (lead >= 0xC2 && lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(position + 1) & 0x3F), 2, true, false};
    if (lead >= 0xE0 && lead < 0xF0 && position + 2 < text.size() && (byte(position + 2) & 0xC0) == 0x80) {
      const auto code_point = (lead & 0x0F) << 12 | (byte(position + 1) & 0x3F) << 6 | (byte(position + 2) & 0x3F);
      if (code_point >= 0x800 && (code_point & 0xF800) != 0xD800) return {code_point, 3, true, false};
    }
  }
  return any_utf8_step(text, position);
}

/// The code point at `position` of text known to be valid UTF-8, and moves `position` past it.
inline char32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const char32_t lead = byte(position);
  if (lead < 0x80) return ++position, lead;
  if (lead < 0xE0) return position += 2, (lead & 0x1F) << 6 | (byte(position - 1) & 0x3F);
  if (lead < 0xF0) return position += 3, (lead & 0x0F) << 12 | (byte(position - 2) & 0x3F) << 6 | (byte(position - 1) & 0x3F);
  position += 4;
  return (lead & 0x07) << 18 | (byte(position - 3) & 0x3F) << 12 | (byte(position - 2) & 0x3F) << 6 | (byte(position - 1) & 0x3F);
}

void append_utf8(std::string& text, char32_t code_point);  ///< code_point < 0x110000, no surrogate

/// The offset of the first byte that is not UTF-8, or nothing when the text is valid.
std::optional<std::size_t> check_utf8(std::string_view text);

/// The text with every maximal subpart of a broken sequence replaced by U+FFFD, as Rust's String::from_utf8_lossy does.
std::string replace_invalid_utf8(std::string_view text);

/// How many bytes at the end of the text are the beginning of a sequence that more bytes could complete (0 … 3).
std::size_t unfinished_utf8(std::string_view text);

}  // namespace isotrope

#include "isotrope/text/unicode/utf8.h"

#include <algorithm>
#include <cstring>

#include "isotrope/text/simd/utf8_blocks.h"

namespace isotrope {

namespace {

/// Length of the run of ASCII that starts at `position`, eight bytes at a time.
std::size_t skip_ascii(std::string_view text, std::size_t position) {
  while (position + 8 <= text.size()) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + position, 8);
    if (word & 0x8080808080808080u) break;
    position += 8;
  }
  while (position < text.size() && static_cast<unsigned char>(text[position]) < 0x80) ++position;
  return position;
}

/// Past the valid characters of two to four bytes from `position` on, as long as four bytes are left; the rest is utf8_step()'s.
std::size_t skip_long_characters(std::string_view text, std::size_t position) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  while (position + 4 <= text.size()) {
    const unsigned char* at = bytes + position;
    const auto tails = [&](int count) {
      for (int i = 1; i <= count; ++i)
        if ((at[i] & 0xC0) != 0x80) return false;
      return true;
    };
    if (at[0] < 0xC2) break;
    if (at[0] < 0xE0) {
      if (!tails(1)) break;
      position += 2;
    } else if (at[0] < 0xF0) {
      const unsigned start = at[0] << 8 | at[1];  // E080 to E09F are too long, EDA0 to EDBF surrogates
      if (!tails(2) || (start >= 0xE080 && start < 0xE0A0) || (start >= 0xEDA0 && start < 0xEDC0)) break;
      position += 3;
    } else {
      const unsigned start = at[0] << 8 | at[1];  // F080 to F08F are too long, F490 and above beyond U+10FFFF
      if (!tails(3) || start < 0xF090 || start >= 0xF490) break;
      position += 4;
    }
  }
  return position;
}

}  // namespace

Utf8Step any_utf8_step(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(position);
  if (lead < 0x80) return {lead, 1, true, false};
  if (lead < 0xC2 || lead > 0xF4) return {};
  const std::uint32_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code_point = lead & (0x7Fu >> length);
  // The first continuation byte has a narrower range after E0 and F0 (overlong), ED (surrogates) and F4 (beyond U+10FFFF).
  unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::uint32_t i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
    if (position + i >= text.size()) return {0xFFFD, i, false, true};
    const unsigned char next = byte(position + i);
    if (next < low || next > high) return {0xFFFD, i, false, false};
    code_point = code_point << 6 | (next & 0x3Fu);
  }
  return {code_point, length, true, false};
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
  }
  put(0x80 | (code_point & 0x3F));
}

std::optional<std::size_t> check_utf8(std::string_view text) {
  for (std::size_t i = skip_ascii(text, simd::valid_utf8_blocks()(text)); i < text.size();) {
    i = skip_long_characters(text, i);
    if (i == text.size()) break;
    const auto step = utf8_step(text, i);
    if (!step.valid) return i;
    i += step.length;
    if (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) i = skip_ascii(text, i);
  }
  return std::nullopt;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto step = utf8_step(text, i);
    if (step.valid) result.append(text, i, step.length);
    else append_utf8(result, 0xFFFD);
    i += step.length;
  }
  return result;
}

std::size_t unfinished_utf8(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto lead = static_cast<unsigned char>(text[text.size() - back]);
    if (lead < 0x80) return 0;
    if (lead >= 0xC0) return utf8_step(text, text.size() - back).cut ? back : 0;
  }
  return 0;
}

}  // namespace isotrope

#pragma once

#include <array>
#include <string>
#include <string_view>

#include "isotrope/base/random.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::tests {

/// Valid UTF-8 made of what pre-tokenizers find hard: every class of character in one to four bytes, contractions, line ends, runs on both
/// sides of a multiple of 64 bytes, and code points of all planes.
inline std::string random_text(RandomStream& random, std::size_t bytes) {
  static constexpr std::array<std::string_view, 44> parts{"a",
                                                          "Z",
                                                          "the",
                                                          "0",
                                                          "7",
                                                          "123456",
                                                          " ",
                                                          " ",
                                                          " ",
                                                          "  ",
                                                          "\t",
                                                          "\n",
                                                          "\r\n",
                                                          "\r",
                                                          "\v",
                                                          "'",
                                                          "'",
                                                          "'s",
                                                          "'S",
                                                          "'re",
                                                          "'LL",
                                                          "'ve",
                                                          "'\u017F",
                                                          "'x",
                                                          ".",
                                                          ",!",
                                                          "-",
                                                          "\x01",
                                                          "\x7F",
                                                          "\u00E9",
                                                          "\u0416\u0438",
                                                          "\u4E2D",
                                                          "\u0301",
                                                          "\u0967\u0968",
                                                          "\u00A0",
                                                          "\u2003",
                                                          "\u3000",
                                                          "\u0085",
                                                          "\U0001F600",
                                                          "\U00010400",
                                                          "\U0001D7D8",
                                                          "\u200D",
                                                          "\u00AA",
                                                          "\u2163"};
  std::string text;
  while (text.size() < bytes) {
    const auto choice = random.below(64);
    if (choice == 63) {  // any code point at all
      auto code_point = static_cast<char32_t>(random.below(0x110000 - 0x800));
      if (code_point >= 0xD800) code_point += 0x800;
      append_utf8(text, code_point);
    } else if (choice == 62) {  // a run
      const auto part = parts[random.below(parts.size())];
      for (auto count = random.below(100); count > 0; --count) text += part;
    } else {
      text += parts[random.below(parts.size())];
    }
  }
  return text;
}

}  // namespace isotrope::tests

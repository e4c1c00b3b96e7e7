#include "isotrope/text/unicode/composition.h"

#include <gtest/gtest.h>

#include <array>

#include "isotrope/text/unicode/normalization.h"
#include "tests/text/random_text.h"

namespace isotrope {
namespace {

std::string nfc(std::string_view text) {
  std::string result;
  append_nfc(text, result);
  return result;
}

std::string quickly(std::string_view text) {
  std::string result;
  CompositionCheck::instance().append_composed(text, result);
  return result;
}

TEST(Composition, EveryCodePointBesideOthersIsComposedAsByTheWholeAlgorithm) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text = "a";
    append_utf8(text, c);
    text += "e\u0301";
    append_utf8(text, c);
    text += "\u0323\u0301\u1100";
    append_utf8(text, c);
    ASSERT_EQ(quickly(text), nfc(text)) << static_cast<std::uint32_t>(c);
  }
}

TEST(Composition, RandomTextIsComposedAsByTheWholeAlgorithm) {
  static constexpr std::array<std::string_view, 20> parts{"a",      "e",      "\u0301", "\u0323", "\u0345", "\u00E9",    "\u1100",
                                                          "\u1161", "\u11A8", "\uAC00", "\uAC01", "\u0915", "\u093C",    "\u094D",
                                                          "\u0958", "\u09C7", "\u09BE", "\uF900", " ",      "\U0001D165"};
  RandomStream random(1, "test");
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto count = random.below(30); count > 0; --count)
      text += random.below(8) == 0 ? tests::random_text(random, 3) : std::string(parts[random.below(parts.size())]);
    const auto expected = nfc(text);
    ASSERT_EQ(quickly(text), expected) << text;
    ASSERT_TRUE(!CompositionCheck::instance().is_composed(text) || expected == text) << text;
  }
}

TEST(Composition, TextInOrderIsKnownToBeComposed) {
  const auto& check = CompositionCheck::instance();
  for (const std::string_view text : {"", "plain", "\u00E9t\u00E9", "\u0416\u0438", "\u0915\u094D\u0937", "\uAC01", "\u0E01\u0E38\u0E48"})
    EXPECT_TRUE(check.is_composed(text)) << text;
  for (const std::string_view text : {"e\u0301", "\u0958", "\u1100\u1161", "\u0E01\u0E48\u0E38"})
    EXPECT_FALSE(check.is_composed(text)) << text;
}

}  // namespace
}  // namespace isotrope

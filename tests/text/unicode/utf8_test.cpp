#include "isotrope/text/unicode/utf8.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "tests/text/random_text.h"

namespace isotrope {
namespace {

TEST(Utf8, EveryScalarValueSurvivesWritingAndReading) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const auto step = utf8_step(text, 0);
    ASSERT_TRUE(step.valid);
    ASSERT_EQ(step.code_point, c);
    ASSERT_EQ(step.length, text.size());
    std::size_t position = 0;
    ASSERT_EQ(next_code_point(text, position), c);
    ASSERT_EQ(position, text.size());
  }
}

TEST(Utf8, BrokenSequencesBecomeOneReplacementForEachMaximalSubpart) {
  // Tables 3-8 to 3-11 of the Unicode standard, "U+FFFD substitution of maximal subparts".
  const auto replaced = [](std::string_view bytes) { return replace_invalid_utf8(bytes); };
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(replaced("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replaced("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replaced("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(replaced("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(replaced("a\xE6\x97"), "a" + r);
}

TEST(Utf8, CheckNamesTheFirstBrokenByte) {
  EXPECT_EQ(check_utf8(""), std::nullopt);
  EXPECT_EQ(check_utf8("0123456789 川は静か"), std::nullopt);
  EXPECT_EQ(check_utf8("01234567890123\xFFz"), 14u);
  EXPECT_EQ(check_utf8("é\xC3"), 2u);
  EXPECT_EQ(check_utf8("\xED\xA0\x80"), 0u);
}

TEST(Utf8, CheckOfLongTextAgreesWithOneStepAfterAnother) {
  const auto slowly = [](std::string_view text) -> std::optional<std::size_t> {
    for (std::size_t i = 0; i < text.size();) {
      const auto step = utf8_step(text, i);
      if (!step.valid) return i;
      i += step.length;
    }
    return std::nullopt;
  };
  // Every pair of bytes behind valid text, at every place of a block; then bytes that break long valid text somewhere.
  RandomStream random(1, "test");
  for (int first = 0x70; first < 0x100; ++first)
    for (int second = 0; second < 0x100; ++second) {
      std::string text(random.below(130), 'a');
      text += static_cast<char>(first);
      text += static_cast<char>(second);
      for (auto tails = random.below(4); tails > 0; --tails) text += static_cast<char>(0x80 + random.below(64));
      text.append(random.below(130), 'b');
      ASSERT_EQ(check_utf8(text), slowly(text)) << first << ' ' << second;
    }
  for (int round = 0; round < 20'000; ++round) {
    std::string text = tests::random_text(random, random.below(400));
    for (auto changes = random.below(3); changes > 0 && !text.empty(); --changes) {
      const auto place = random.below(text.size());
      if (random.below(2) == 0) text[place] = static_cast<char>(random.below(256));
      else text.erase(place, 1);
    }
    ASSERT_EQ(check_utf8(text), slowly(text)) << "round " << round;
  }
}

TEST(Utf8, UnfinishedCountsTheBytesThatMoreCouldComplete) {
  EXPECT_EQ(unfinished_utf8("abc"), 0u);
  EXPECT_EQ(unfinished_utf8("a\xE6"), 1u);
  EXPECT_EQ(unfinished_utf8("a\xE6\x97"), 2u);
  EXPECT_EQ(unfinished_utf8("a\xF0\x9F\x98"), 3u);
  EXPECT_EQ(unfinished_utf8("a\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(unfinished_utf8("a\xE0\x80"), 0u);  // overlong: no byte completes it
  EXPECT_EQ(unfinished_utf8("\x80\x80\x80\x80"), 0u);
}

RC_GTEST_PROP(Utf8, RepairedTextIsValidAndValidTextIsLeftAlone, (const std::string& bytes)) {
  const auto repaired = replace_invalid_utf8(bytes);
  RC_ASSERT(!check_utf8(repaired));
  RC_ASSERT(replace_invalid_utf8(repaired) == repaired);
  if (!check_utf8(bytes)) RC_ASSERT(repaired == bytes);
}

}  // namespace
}  // namespace isotrope

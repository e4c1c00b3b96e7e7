// Where raw text may be cut, against the definition, and the masks that find it.
#include "isotrope/text/steps/space_cuts.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "isotrope/base/random.h"
#include "isotrope/text/simd/byte_sets.h"
#include "isotrope/text/steps/mark_cuts.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {
namespace {

TEST(SpaceCuts, LieBeforeWhatWasAskedFor) {
  const auto parts_of = [](const SpaceCuts& cuts, std::string_view text) {
    std::vector<std::string> parts;
    for_each_part(
        cuts, text, true, true, [](const WordKey&) {}, [](const WordKey&) {}, [&](const TextPart& part) { parts.emplace_back(part.text); });
    return parts;
  };
  using Parts = std::vector<std::string>;
  SpaceCuts cuts({});
  const auto text = "a, b\n\u0431! e\u0301. 1, (c)  d,,";
  EXPECT_EQ(parts_of(cuts, text), (Parts{"a,", " b\n\u0431!", " e\u0301.", " 1,", " (c)", "  d,,"}));
  cuts.add_space('\n');
  for (const unsigned char c : {',', '!', '.', ')'}) cuts.add_punctuation(c);
  EXPECT_EQ(parts_of(cuts, text), (Parts{"a", ",", " b", "\n\u0431", "!", " e\u0301", ".", " 1,", " (c", ")", "  d", ",,"}));
}

TEST(SpaceCuts, LieWhereTheDefinitionSaysInLongTexts) {
  SpaceCuts cuts({.keeps_marks = false});
  cuts.add_space('\t');
  for (const unsigned char c : {',', '.'}) cuts.add_punctuation(c);
  const std::vector<std::string> parts{" ", "a",          ",",          "\u0431", "\u4e00\u4e00", "\u0301", "1", "\t",
                                       ".", "\U0001D400", "\U0001F600", "\u0663", "word",         "\n",     "("};
  const auto may_cut = [&](char before, char32_t wide, char at) {
    const bool is_wide = static_cast<unsigned char>(before) >= 0x80;
    const auto kind = is_wide ? UnicodeTable::instance().kind(wide) : CharKind::letter;
    if (at == ' ' || at == '\t') return is_wide ? kind == CharKind::letter || kind == CharKind::number : before > ' ' && before < 0x7F;
    return (at == ',' || at == '.') && (is_wide ? kind == CharKind::letter : (before >= 'a' && before <= 'z'));
  };
  RandomStream random(5, "test");
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (auto count = random.below(round < 200 ? 60 : 3000); count > 0; --count) text += parts[random.below(parts.size())];
    std::vector<std::size_t> expected;
    char32_t last = 0;
    for (std::size_t at = 0; at < text.size();) {
      if (at > 0 && may_cut(text[at - 1], last, text[at])) expected.push_back(at);
      last = next_code_point(text, at);
    }
    expected.push_back(text.size());
    std::vector<std::size_t> found;
    SpaceCuts::Walk walk(cuts, text);
    do found.push_back(walk.next());
    while (found.back() < text.size());
    ASSERT_EQ(found, expected) << text;
    ASSERT_EQ(walk.next(), text.size());
    for (std::size_t at = 1; at < text.size() && round < 200; ++at)
      ASSERT_EQ(cuts.may_cut(text, at), std::ranges::binary_search(expected, at)) << at << " of " << text;
  }
}

TEST(ByteSets, EveryInstructionSetSeesTheSameBytes) {
  RandomStream random(3, "test");
  std::string bytes(64 * 50, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(random.below(256));
  for (int i = 0; i < 256; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<char>(i);
  std::array<simd::AsciiSet, 4> sets;
  for (int c = 0; c < 128; ++c) sets[1].add(static_cast<unsigned char>(c));
  for (const unsigned char c : {'\0', ' ', '/', '0', '\x7F'}) sets[2].add(c);
  for (int i = 0; i < 40; ++i) sets[3].add(static_cast<unsigned char>(random.below(128)));
  const auto variants = simd::byte_sets().all();
  std::vector<simd::ByteSetMasks> expected(50), found(50);
  variants.back().function(bytes.data(), 50, sets, expected.data());
  EXPECT_EQ(expected[0].in, (std::array<std::uint64_t, 4>{0, ~std::uint64_t{0}, expected[0].in[2], expected[0].in[3]}));
  EXPECT_EQ(expected[0].in[2], std::uint64_t{1} | std::uint64_t{1} << ' ' | std::uint64_t{1} << '/' | std::uint64_t{1} << '0');
  for (const auto& variant : variants) {
    variant.function(bytes.data(), 50, sets, found.data());
    EXPECT_EQ(std::memcmp(found.data(), expected.data(), 50 * sizeof(simd::ByteSetMasks)), 0) << variant.name;
  }
}

TEST(MarkCuts, PunctuationStandsApartUnlessATokenJoinsIt) {
  MarkCuts cuts;
  for (const auto* token : {"a", ",", "a,", ".", "1.", "!", "e\u0301!", "\u2581)", ")", "b?"}) cuts.add(token);
  cuts.finish();
  EXPECT_FALSE(cuts.may_cut_before(','));
  EXPECT_TRUE(cuts.may_cut_before('.'));  // behind a number there is no such cut
  EXPECT_FALSE(cuts.may_cut_before('!'));
  EXPECT_TRUE(cuts.may_cut_before(')'));
  EXPECT_FALSE(cuts.may_cut_before('?'));  // no token
}

}  // namespace
}  // namespace isotrope

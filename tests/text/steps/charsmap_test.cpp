// SentencePiece's table of normalization against HF tokenizers (tools/oracles/unigram_goldens.py made the file) and against what it was made of.
#include "isotrope/text/steps/charsmap.h"

#include <gtest/gtest.h>

#include <map>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"
#include "isotrope/text/steps/json_field.h"
#include "isotrope/text/unicode/graphemes.h"
#include "tests/text/golden_files.h"
#include "tests/text/steps/charsmap_blob.h"

namespace isotrope {
namespace {

using nlohmann::json;
using tests::blob_of;
using tests::golden;

std::string blob_of_golden() {
  const auto description = golden("unigram.tokenizer.json");
  return json_field::base64(description["normalizer"]["normalizers"][0]["precompiled_charsmap"], "", "f");
}

TEST(Charsmap, ClustersEqualHfTokenizers) {
  const auto expected = golden("unigram.json")["graphemes"];
  const Charsmap map(json_field::base64(expected["charsmap"], "", "f"), "f");
  const auto kinds = expected["kinds"].get<std::vector<std::string>>();
  std::size_t index = 0;
  for (const auto& a : kinds)
    for (const auto& b : kinds)
      for (const auto& c : kinds) {
        std::string made;
        const auto text = a + b + c;
        map.for_each_part(text, [&](std::string_view, std::string_view becomes, bool) { made += becomes; });
        EXPECT_EQ(made.size(), expected["made"][index++].get<std::size_t>()) << json(text).dump(-1, ' ', true);
      }
}

TEST(Charsmap, TakesTheLongestOrTheShortestEntry) {
  const Charsmap map(blob_of_golden(), "f");
  EXPECT_EQ(map.longest("e\u0301x").becomes, "\u00e9");
  EXPECT_EQ(map.longest("e\u0301x").length, 3u);
  EXPECT_EQ(map.longest("ex").length, 0u);
  EXPECT_EQ(map.longest("ab").becomes, "b a");
  EXPECT_EQ(map.shortest("\u00bdx").becomes, "1/2");
  EXPECT_EQ(map.longest(std::string_view("\0", 1)).length, 0u);
  EXPECT_TRUE(map.leaves_alone("the r\u0456ver \u5DDD"));
  EXPECT_FALSE(map.leaves_alone("\u00bd"));
}

/// Entries of four letters whose ends are shared: 26⁴ ways through 1,536 units. SentencePiece's own maps are like that.
TEST(Charsmap, EntriesWithSharedEndsAreSeenThrough) {
  constexpr std::uint32_t levels = 5, block = 256;
  std::vector<std::uint32_t> units((levels + 1) * block);
  const auto link = [&](std::uint32_t unit, std::uint32_t children) { units[unit] |= (unit ^ children) << 10; };
  link(0, block);
  for (std::uint32_t level = 1; level < levels; ++level)
    for (std::uint32_t letter = 'a'; letter <= 'z'; ++letter) {
      const auto unit = level * block + letter;
      units[unit] = letter | (level + 1 == levels ? 1u << 8 : 0);
      link(unit, (level + 1) * block);
    }
  units[levels * block] = 1u << 31;  // all become the first text
  const auto map_of = [&](std::string_view text) {
    const auto size = static_cast<std::uint32_t>(units.size() * sizeof units[0]);
    std::string blob(reinterpret_cast<const char*>(&size), sizeof size);
    blob.append(reinterpret_cast<const char*>(units.data()), size);
    blob.append(text);
    return Charsmap(blob + '\0', "f");
  };
  EXPECT_EQ(map_of("x").longest("abcz!").length, 4u);
  EXPECT_TRUE(map_of("x").allows_cuts_before_spaces());
  EXPECT_FALSE(map_of("x ").allows_cuts_before_spaces());
  EXPECT_FALSE(map_of("x").begins_only('k'));
  EXPECT_TRUE(map_of("x").begins_only('!'));
  EXPECT_FALSE(map_of(" ").is_space('!'));
  units[block + 't'] |= 1u << 8;  // an entry itself, and it goes on
  units[2 * block] = 1u << 31;
  units[block + '!'] = '!' | 1u << 8;
  link(block + '!', levels * block);
  EXPECT_FALSE(map_of(" ").is_space('t'));
  EXPECT_TRUE(map_of(" ").is_space('!'));
  EXPECT_FALSE(map_of("x").is_space('!'));
}

TEST(Charsmap, TellsWhereTextMayNotBeCut) {
  const auto allows = [](const std::map<std::string, std::string>& entries) {
    return Charsmap(blob_of(entries), "f").allows_cuts_before_spaces();
  };
  EXPECT_EQ(Charsmap(blob_of({{"e\u0301", "\u00e9"}, {"qx", "y"}}), "f").longest("qxz").becomes, "y");
  EXPECT_TRUE(allows({{"e\u0301", "\u00e9"}, {"\n", " "}, {" ", " "}, {"\u00bd", "1/2"}, {"\u00b4", " \u0301"}}));
  EXPECT_FALSE(allows({{" ", ""}}));  // what is left joins
  EXPECT_FALSE(allows({{" ", "x"}}));
  EXPECT_FALSE(allows({{" \u0301", "x"}}));
  EXPECT_FALSE(allows({{"a b", "x"}}));
  EXPECT_FALSE(allows({{"qx", ""}}));
  EXPECT_FALSE(allows({{"qx", "x "}}));
  EXPECT_FALSE(allows({{"qx", "x\u2581"}}));  // two marks may be one piece
  EXPECT_FALSE(allows({{"\xD0", "x"}}));      // ends inside a character
  EXPECT_FALSE(allows({{"a\xE1\x80", "x"}}));
  EXPECT_FALSE(allows({{"\x90", " "}}));  // begins inside of one
}

TEST(Graphemes, AreThoseOfUnicode17) {
  const auto& table = GraphemeTable::instance();
  EXPECT_EQ(table.length("a\u1AEBb", 0), 4u);  // a mark since Unicode 17
  EXPECT_EQ(table.length("a\u1ADFb", 0), 1u);  // unassigned there
}

/// "≠" is "=" and a mark: no cut may follow a mark that an entry ends with, or a piece "≠," were parted.
TEST(Charsmap, KnowsWhatStandsAlone) {
  const Charsmap map(blob_of_golden(), "f");
  EXPECT_TRUE(map.stands_alone('k'));
  EXPECT_TRUE(map.stands_alone(U'\u0431'));
  EXPECT_FALSE(map.stands_alone(U'\u0301'));  // of e and U+0301
  EXPECT_FALSE(map.stands_alone('b'));        // of "ab"
  EXPECT_TRUE(map.stands_alone('e'));         // begins one, which is no matter
  EXPECT_FALSE(map.stands_alone(U'\u00bd'));  // becomes 1/2
}

TEST(Charsmap, BrokenBlobsAreErrorsAtEveryLengthAndByte) {
  const auto blob = blob_of_golden();
  const auto survives = [&](const std::string& bytes) {
    try {
      const Charsmap map(bytes, "f");
      for (const auto text : {"e\u0301ab\u00bd``", "\u1100\u1161\u11a8\r\n\u0301", "\xC2"})
        (void)map.longest(text), (void)map.shortest(text);
    } catch (const InputError& error) {
      EXPECT_TRUE(std::string(error.message()).starts_with("f: precompiled_charsmap: ")) << error.message();
    }
  };
  for (std::size_t size = 0; size < blob.size(); size += size < 40 ? 1 : 37) survives(blob.substr(0, size));
  RandomStream random(4, "test");
  for (int round = 0; round < 3000; ++round) {
    auto changed = blob;
    for (auto count = 1 + random.below(4); count > 0; --count) changed[random.below(changed.size())] = static_cast<char>(random.below(256));
    survives(changed);
  }
}

TEST(Base64, GoesThereAndBack) {
  RandomStream random(8, "test");
  for (std::size_t size = 0; size < 70; ++size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(random.below(256));
    EXPECT_EQ(json_field::base64(json_field::spell_base64(bytes), "", "f"), bytes);
  }
  EXPECT_EQ(json_field::spell_base64("any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
}

}  // namespace
}  // namespace isotrope

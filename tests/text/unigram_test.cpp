// SentencePiece models and tokenizer.json's Unigram against sentencepiece and HF tokenizers: tools/oracles/unigram_goldens.py made the files.
#include "isotrope/text/unigram.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"
#include "isotrope/text/charsmap.h"
#include "isotrope/text/encoding.h"
#include "isotrope/text/graphemes.h"
#include "isotrope/text/json_field.h"
#include "isotrope/text/mark_cuts.h"
#include "isotrope/text/scored_vocabulary.h"
#include "isotrope/text/simd/byte_sets.h"
#include "isotrope/text/space_cuts.h"
#include "isotrope/text/unicode.h"
#include "isotrope/text/utf8.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using Ids = std::vector<TokenId>;
using nlohmann::json;
using tests::golden;
using tests::golden_path;

constexpr EncodeOptions plain{.add_special_tokens = false, .parse_special_tokens = false};

std::map<std::string, std::string> samples(const json& file) { return file["samples"]; }

void expect_as_sentencepiece(const Tokenizer& tokenizer, const json& expected, const std::map<std::string, std::string>& texts) {
  for (const auto& entry : expected["texts"]) {
    const auto& text = texts.at(entry["name"]);
    SCOPED_TRACE(text);
    const auto ids = tokenizer.encode(text, plain);
    EXPECT_EQ(ids, entry["ids"].get<Ids>());
    EXPECT_EQ(tokenizer.decode(ids, {.skip_special_tokens = true}), entry["decoded"]);
  }
  for (const auto& entry : expected["decodes"])
    EXPECT_EQ(tokenizer.decode(entry["ids"].get<Ids>(), {.skip_special_tokens = true}), entry["decoded"]) << entry["ids"];
}

TEST(SentencePieceModel, IdsAndTextEqualSentencePieces) {
  const auto file = golden("unigram.json");
  ASSERT_EQ(file["sentencepiece"].size(), 6u);
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    SCOPED_TRACE(name);
    expect_as_sentencepiece(*load_tokenizer(golden_path(name + ".model")), expected, samples(file));
  }
}

TEST(SentencePieceModel, SavedAndLoadedItIsTheSame) {
  const auto file = golden("unigram.json");
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    SCOPED_TRACE(name);
    const tests::TemporaryFolder folder;
    const auto original = load_tokenizer(golden_path(name + ".model"));
    original->save(folder.path());
    const auto copy = load_tokenizer(folder.path());
    EXPECT_EQ(copy->fingerprint(), original->fingerprint());
    expect_as_sentencepiece(*copy, expected, samples(file));
  }
}

/// One text after another without the memory of earlier ones must not differ from all in a row, nor from one long text of many words.
TEST(SentencePieceModel, WhatIsRememberedChangesNothing) {
  const auto file = golden("unigram.json");
  const auto texts = samples(file);
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    const auto warm = load_tokenizer(golden_path(name + ".model"));
    std::string all;
    for (int round = 0; round < 3; ++round)
      for (const auto& [key, text] : texts) all += text + " ", (void)warm->encode(text, plain);
    EXPECT_EQ(warm->encode(all, plain), load_tokenizer(golden_path(name + ".model"))->encode(all, plain)) << name;
  }
}

/// encode() cuts raw text and remembers the parts, encode_full() spells the whole of it and looks for the best way through all.
TEST(SentencePieceModel, WhereTextIsCutChangesNothing) {
  const auto file = golden("unigram.json");
  const std::vector<std::string> parts{"the",    "river",  " ",  " ",      "  ",     "\n",     "\t",     "\r\n",      ",", ".",
                                       ",",      "!",      "'s", "-",      "...",    "qu",     "\u5DDD", "e\u0301",   "e", "\u00e9",
                                       "\u0301", "\u0431", "\"", "(",      ")",      "\u2581", "<sep>",  "7",         "=", "\u0338",
                                       "\u00bd", "a",      "b",  "\u3000", "\u4e00", "\u200b", "A",      "\U0001F600"};
  RandomStream random(7, "test");
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    const auto tokenizer = load_tokenizer(golden_path(name + ".model"));
    for (int round = 0; round < 3000; ++round) {
      std::string text;
      for (auto count = random.below(24); count > 0; --count) text += parts[random.below(parts.size())];
      ASSERT_EQ(tokenizer->encode(text, plain),
                tokenizer->encode_full({text}, {.add_special_tokens = false, .parse_special_tokens = false}).ids)
          << name << ' ' << json(text).dump(-1, ' ', true);
    }
  }
}

void expect_as_hf(const Tokenizer& tokenizer, const json& expected, const std::map<std::string, std::string>& texts) {
  for (const auto& entry : expected) {
    const auto& text = texts.at(entry["name"]);
    SCOPED_TRACE(text);
    for (int round = 0; round < 2; ++round) {  // the second time from memory
      const auto ids = tokenizer.encode(text);
      EXPECT_EQ(ids, entry["ids"].get<Ids>());
      EXPECT_EQ(tokenizer.decode(ids), entry["decoded"]);
    }
  }
}

TEST(UnigramTokenizer, IdsAndTextEqualHfTokenizers) {
  const auto file = golden("unigram.json");
  const auto tokenizer = load_tokenizer(golden_path("unigram.tokenizer.json"));
  expect_as_hf(*tokenizer, file["tokenizers"]["texts"], samples(file));
  const tests::TemporaryFolder folder;
  tokenizer->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), tokenizer->fingerprint());
}

TEST(UnigramTokenizer, VariantsEqualHfTokenizers) {
  const auto file = golden("unigram.json"), base = golden("unigram.tokenizer.json");
  for (const auto& variant : file["tokenizers"]["variants"]) {
    SCOPED_TRACE(variant["name"].get<std::string>());
    auto description = base;
    for (const auto& [path, value] : variant["patch"].items()) description[json::json_pointer("/" + path)] = value;
    expect_as_hf(*parse_tokenizer(description.dump()), variant["texts"], samples(file));
  }
}

TEST(UnigramTokenizer, OffsetsEqualHfTokenizers) {
  const auto file = golden("unigram.json");
  const auto texts = samples(file);
  const auto tokenizer = load_tokenizer(golden_path("unigram.tokenizer.json"));
  for (const auto& entry : file["tokenizers"]["texts"]) {
    SCOPED_TRACE(texts.at(entry["name"]));
    const auto encoding = tokenizer->encode_full({texts.at(entry["name"])}, {});
    EXPECT_EQ(encoding.ids, entry["ids"].get<Ids>());
    json offsets = json::array();
    for (const auto& range : encoding.offsets) offsets.push_back({range.begin, range.end});
    EXPECT_EQ(offsets, entry["offsets"]);
  }
}

/// What comes with ids is the same with offsets, and lies in the text in order.
TEST(SentencePieceModel, OffsetsCoverTheText) {
  const auto file = golden("unigram.json");
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    const auto tokenizer = load_tokenizer(golden_path(name + ".model"));
    for (const auto& [key, text] : samples(file)) {
      const auto encoding = tokenizer->encode_full({text}, {});
      EXPECT_EQ(encoding.ids, tokenizer->encode(text)) << name << ' ' << text;
      std::uint32_t last = 0;
      for (const auto& range : encoding.offsets) {
        EXPECT_LE(range.begin, range.end);
        EXPECT_LE(last, range.end);
        last = range.end;
      }
    }
  }
}

TEST(UnigramTokenizer, ThreadsChangeNothing) {
  const auto file = golden("unigram.json");
  const auto tokenizer = load_tokenizer(golden_path("unigram.tokenizer.json"));
  std::string text;
  for (int round = 0; round < 30; ++round)
    for (const auto& [name, sample] : samples(file)) text += sample + " the river ";
  ASSERT_GT(text.size(), 200'000u);
  EXPECT_EQ(tokenizer->encode_parallel(text, 3), tokenizer->encode(text));
}

TEST(UnigramTokenizer, BrokenModelsAreNamed) {
  const auto base = golden("unigram.tokenizer.json");
  const auto error = [&](const char* path, const json& value) {
    auto description = base;
    description[json::json_pointer(path)] = value;
    try {
      parse_tokenizer(description.dump(), {}, "f")->encode("川");
    } catch (const InputError& error) {
      return error.message();
    }
    return std::string("no error");
  };
  EXPECT_EQ(error("/model/unk_id", 0), "no error");
  EXPECT_EQ(error("/model/unk_id", 300), "f: unk_id is 300, but there are 300 pieces");
  EXPECT_EQ(error("/model/unk_id", nullptr), "f: \"川\" is no piece, and the model has no unk_id");
  EXPECT_EQ(error("/model/vocab/5", json::array({"a"})), "f: model.vocab: piece 5: expected [text, score], got [\"a\"]");
  EXPECT_EQ(error("/model/vocab/5/1", "a"), "f: model.vocab: piece 5: expected [text, score], got [\"qu\",\"a\"]");
  EXPECT_EQ(error("/model/vocab/5/0", std::string(8000, 'a')), "f: piece 5 has 8000 bytes, the limit is 8000");
  EXPECT_EQ(error("/model/vocab/5/1", 1e40), "f: piece 5 has the score 1e+40, out of range");
  EXPECT_EQ(error("/normalizer/normalizers/0/precompiled_charsmap", "abc"), "f: precompiled_charsmap: it is not base 64");
  EXPECT_EQ(error("/normalizer/normalizers/0/precompiled_charsmap", "AAAA"), "f: precompiled_charsmap: it is cut off");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 301}, {"content", "<new>"}}})), "no error");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 299}, {"content", "<new>"}}})),
            "f: tokens \"" + base["model"]["vocab"][299][0].get<std::string>() + "\" and \"<new>\" have the same id 299");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 400'000}, {"content", "<new>"}}})),
            "f: added token \"<new>\" has id 400000, but beside 300 pieces ids must be below 262746");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 300}, {"content", "<new>"}}})), "no error");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 7}, {"content", "<sep>"}}})),
            "f: added token \"<sep>\" has id 7, and 4 in the vocabulary");
}

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

/// A charsmap of these entries, each node with a block of its own.
std::string blob_of(const std::map<std::string, std::string>& entries) {
  constexpr std::uint32_t block = 256;
  std::vector<std::uint32_t> units(2 * block);
  std::string texts;
  units[0] = block << 10;
  for (const auto& [key, becomes] : entries) {
    std::uint32_t children = block;
    for (std::size_t i = 0; i < key.size(); ++i) {
      const auto byte = static_cast<unsigned char>(key[i]);
      const auto unit = children ^ byte;
      if ((units[unit] & 0xFF) != byte) {
        units[unit] = byte | (unit ^ static_cast<std::uint32_t>(units.size())) << 10;
        units.resize(units.size() + block);
      }
      children = unit ^ units[unit] >> 10;
      if (i + 1 < key.size()) continue;
      units[unit] |= 1u << 8;
      units[children] = 1u << 31 | static_cast<std::uint32_t>(texts.size());
    }
    texts += becomes + '\0';
  }
  const auto size = static_cast<std::uint32_t>(units.size() * sizeof units[0]);
  std::string blob(reinterpret_cast<const char*>(&size), sizeof size);
  blob.append(reinterpret_cast<const char*>(units.data()), size);
  return blob + texts;
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

TEST(SpaceCuts, LieBeforeWhatWasAskedFor) {
  const auto parts_of = [](const SpaceCuts& cuts, std::string_view text) {
    std::vector<std::string> parts;
    for_each_part(cuts, text, [](const WordKey&) {}, [](const WordKey&) {}, [&](const TextPart& part) { parts.emplace_back(part.text); });
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

constexpr const char* three_pieces = R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["\u2581", -1], ["a", -2]],
  "sentencepiece": {"unknown": [0]}}})";

TEST(SentencePieceModel, RoomForIdsIsLittleMoreThanTheyNeed) {
  const auto tokenizer = parse_tokenizer(three_pieces);
  std::string even = "xa";
  for (int i = 0; i < 200'000; ++i) even += " a";
  const auto ids = tokenizer->encode(even, plain);
  EXPECT_EQ(ids.size(), 400'003u);
  EXPECT_LT(ids.capacity(), ids.size() + ids.size() / 5 + 4096);
  const auto dense = tokenizer->encode(std::string(3000, 'x') + std::string(3000, 'a') + std::string(1'000'000, ' '), plain);
  EXPECT_LT(dense.capacity(), 1'100'000u);
}

TEST(SentencePieceModel, AnUnkIdThatIsSearchedForAndAnEmptyPieceAreErrors) {
  auto description = json::parse(three_pieces);
  const auto message = [&] {
    try {
      (void)parse_tokenizer(description.dump());
    } catch (const InputError& error) {
      return std::string(error.message());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message(), "no error");
  description["model"]["unk_id"] = 2;
  EXPECT_EQ(message(), "tokenizer.json: sentencepiece: piece 2 is the unk_id, but not among the unknown ones");
  description["model"]["unk_id"] = 0;
  description["model"]["vocab"].push_back({"", -1});
  EXPECT_EQ(message(), "tokenizer.json: sentencepiece: piece 3 is empty");
}

/// Parts one by one, cold and warm, against the whole, where sums go beyond 100,000 and unknown characters are among the parts.
TEST(SentencePieceModel, LongTextsInPartsAreAsTheWhole) {
  auto description = json::parse(three_pieces);
  RandomStream random(9, "test");
  auto& vocabulary = description["model"]["vocab"];
  std::vector<std::string> letters{"a", "b", "c", "?", "!"};  // the last two are no pieces
  for (char32_t c = 0x4E00; c < 0x4F00; ++c) {
    letters.emplace_back();
    append_utf8(letters.back(), c);
  }
  // A longer piece has the score of its letters and very little: the sum so far decides which way is better.
  std::vector<std::string> tied;  // words that are such pieces
  std::map<std::string, double> scores{{"a", -2}, {"\u2581", -1}, {"?", -9}, {"!", -9}};
  const auto draw = [&](double from) { return from - static_cast<double>(random.below(1'000'000)) / 1e6; };
  for (const auto& letter : letters)
    if (!scores.contains(letter)) vocabulary.push_back({letter, scores[letter] = draw(-6)});
  for (int i = 0; i < 300; ++i) {
    std::string piece = i % 2 == 0 ? "\u2581" : "";
    double score = i % 2 == 0 ? -1 : 0;
    for (auto count = 2 + random.below(3); count > 0; --count) {
      const auto& letter = letters[random.below(i % 3 == 0 ? 3 : letters.size())];
      piece += letter;
      score += scores.at(letter);
    }
    vocabulary.push_back({piece, score + (static_cast<double>(random.below(21)) - 10) * 2e-4});
    if (i % 2 == 0) tied.push_back(piece.substr(3));
  }
  const std::string user_defined(201, 'z');  // with a score of 20, so that sums can be above 0
  for (const std::string_view kind : {"unknown", "bytes", "user-defined pieces"}) {
    if (kind == "bytes") {
      description["model"]["byte_fallback"] = true;
      for (int byte = 0; byte < 256; ++byte) {
        description["model"]["sentencepiece"]["byte"].push_back(vocabulary.size());
        vocabulary.push_back({fmt::format("<0x{:02X}>", byte), 0});
      }
    }
    const bool has_user_defined = kind == "user-defined pieces";
    if (has_user_defined) {
      description["model"]["sentencepiece"]["user_defined"].push_back(vocabulary.size());
      vocabulary.push_back({user_defined, 0});
      description["added_tokens"].push_back({{"id", vocabulary.size()}, {"content", "<sep>"}, {"special", true}});
    }
    const auto tokenizer = parse_tokenizer(description.dump());
    for (int round = 0; round < 12; ++round) {
      const auto some = [&](std::size_t count, std::size_t kinds) {
        std::string word;
        for (; count > 0; --count) word += letters[random.below(kinds)];
        return word;
      };
      std::string text;
      if (round % 3 == 1) text = some(50'000, 5) + ' ';  // a sum far from 0 before the first part that is remembered
      for (int i = 0; i < 6000; ++i) {
        const bool rises = has_user_defined && round % 2 == 0;
        text += rises || i < 40 || i % 5 == 0 ? tied[random.below(tied.size())]
                                              : some(1 + random.below(6), round % 2 == 0 ? 8 : letters.size());
        if (i % 700 == 0) text += std::string(130 + random.below(2), '?');  // more numbers than are added up at a time, with bytes
        if (i % 900 == 450) text += some(300, 3);                           // more than is remembered
        if (rises || (has_user_defined && i % 10 == 0)) text += user_defined;
        if (has_user_defined && i % 1500 == 0) text += "<sep>" + some(2, 3);
        text += ' ';
      }
      ASSERT_EQ(tokenizer->encode(text, {.add_special_tokens = false, .parse_special_tokens = has_user_defined}),
                tokenizer->encode_full({text}, {.add_special_tokens = false, .parse_special_tokens = has_user_defined}).ids)
          << kind;
    }
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

/// What the definition says, without any table: the best sum over all cuts, in double.
double best_sum(const std::map<std::string, double>& pieces, const std::string& text, std::size_t at, std::vector<double>& known) {
  if (at == text.size()) return 0;
  if (!std::isnan(known[at])) return known[at];
  double best = -1e300;
  for (std::size_t length = 1; at + length <= text.size(); ++length)
    if (const auto found = pieces.find(text.substr(at, length)); found != pieces.end())
      best = std::max(best, found->second + best_sum(pieces, text, at + length, known));
  return known[at] = best;
}

TEST(UnigramTokenizer, FindsTheBestSum) {
  RandomStream random(2, "test");
  for (int round = 0; round < 50; ++round) {
    std::map<std::string, double> pieces{{"a", -3}, {"b", -3.5}, {"c", -2}};
    while (pieces.size() < 40) {
      std::string piece;
      for (auto size = 2 + random.below(5); size > 0; --size) piece += "abc"[random.below(3)];
      pieces[piece] = -1 - static_cast<double>(random.below(1000)) / 64;
    }
    json vocabulary = json::array({json::array({"<unk>", 0})});
    std::vector<double> scores{0};
    for (const auto& [piece, score] : pieces) vocabulary.push_back({piece, score}), scores.push_back(score);
    const auto tokenizer = parse_tokenizer(
        json{{"model", {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", vocabulary}}}, {"decoder", {{"type", "Fuse"}}}}.dump());
    for (int i = 0; i < 20; ++i) {
      std::string text;
      for (auto size = 1 + random.below(300); size > 0; --size) text += "abc"[random.below(3)];
      const auto ids = tokenizer->encode(text);
      EXPECT_EQ(tokenizer->decode(ids), text);
      double sum = 0;
      for (const auto id : ids) sum += scores[static_cast<std::size_t>(id)];
      std::vector<double> known(text.size(), std::nan(""));
      EXPECT_DOUBLE_EQ(sum, best_sum(pieces, text, 0, known));
    }
  }
}

TEST(SentencePieceModelSlow, LongTextsTakeTimeInProportion) {
  for (const char* name : {"unigram", "unigram_bytes", "unigram_suffix", "bpe_mapped", "bpe_tied"}) {
    const auto tokenizer = load_tokenizer(golden_path(std::string(name) + ".model"));
    const auto json_tokenizer = load_tokenizer(golden_path("unigram.tokenizer.json"));
    for (const std::string part : {"a", "\u2581", "ab", " ", "the", "\u5DDD", "e\u0301", "\u0301", "qu"}) {
      const auto seconds = [&](std::size_t count) {
        std::string text;
        for (std::size_t i = 0; i < count; ++i) text += part;
        const auto start = std::chrono::steady_clock::now();
        (void)tokenizer->encode(text, plain);
        (void)json_tokenizer->encode(text);
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      };
      (void)seconds(1000);
      EXPECT_LT(seconds(1'000'000), 40 * seconds(100'000) + 0.5) << name << ' ' << part;
      EXPECT_LT(seconds(1'000'000), 20) << name << ' ' << part;
    }
  }
}

}  // namespace
}  // namespace isotrope

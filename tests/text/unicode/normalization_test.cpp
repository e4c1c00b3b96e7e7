#include "isotrope/text/unicode/normalization.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "isotrope/base/sha256.h"
#include "isotrope/text/steps/normalizer.h"
#include "isotrope/text/unicode/utf8.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using nlohmann::json;

std::string normalized(const json& description, std::string_view text) {
  Normalizer::Scratch scratch;
  return std::string(Normalizer(description, "test").apply(text, scratch));
}

json bert(bool lowercase, const json& strip_accents) {
  return {{"type", "BertNormalizer"},
          {"clean_text", true},
          {"handle_chinese_chars", true},
          {"strip_accents", strip_accents},
          {"lowercase", lowercase}};
}

/// SHA-256 of every code point behind an "a", normalized, each on a line.
std::string digest_of_all(const json& description) {
  const Normalizer normalizer(description, "test");
  Normalizer::Scratch scratch;
  Sha256 hash;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string character;
    append_utf8(character, c);
    hash.add("a");
    hash.add(normalizer.apply(character, scratch));
    hash.add("\n");
  }
  return hash.hex();
}

TEST(Normalization, EveryCodePointBecomesWhatTheOracleMakesOfIt) {  // tools/unicode_tables.py
  const auto golden = tests::golden("unicode.json");
  const auto& digests = golden["normalized_sha256"];
  EXPECT_EQ(digest_of_all({{"type", "NFD"}}), digests["nfd"]);
  EXPECT_EQ(digest_of_all({{"type", "NFC"}}), digests["nfc"]);
  EXPECT_EQ(digest_of_all({{"type", "NFKD"}}), digests["nfkd"]);
  EXPECT_EQ(digest_of_all({{"type", "NFKC"}}), digests["nfkc"]);
  EXPECT_EQ(digest_of_all({{"type", "Nmt"}}), digests["nmt"]);
  EXPECT_EQ(digest_of_all({{"type", "Lowercase"}}), digests["lowercase"]);
  EXPECT_EQ(digest_of_all({{"type", "StripAccents"}}), digests["strip_accents"]);
  EXPECT_EQ(digest_of_all(bert(true, nullptr)), digests["bert_uncased"]);
  EXPECT_EQ(digest_of_all(bert(false, nullptr)), digests["bert_cased"]);
  EXPECT_EQ(digest_of_all(bert(true, false)), digests["bert_accents"]);
  EXPECT_EQ(digest_of_all(bert(false, true)), digests["bert_stripped"]);
}

TEST(Normalization, EveryCodePointHasTheTraitsAndClassOfTheOracle) {
  const auto golden = tests::golden("unicode.json");
  const auto& table = NormalizationTable::instance();
  std::string traits, classes;
  for (char32_t c = 0; c < 0x110000; ++c) {
    traits += static_cast<char>(table.traits(c));
    classes += static_cast<char>(table.combining_class(c));
  }
  EXPECT_EQ(sha256_hex(traits), golden["traits_sha256"]);
  EXPECT_EQ(sha256_hex(classes), golden["classes_sha256"]);
}

TEST(Normalization, MarksComeInCanonicalOrder) {
  std::string text;
  append_nfd("a\u0301\u0323\u0327b\u00E9\u0323", text);
  EXPECT_EQ(text, "a\u0327\u0323\u0301be\u0323\u0301");
  text.clear();
  append_nfc("a\u0301\u0323 e\u0301 \u0344 \u1100\u1161\u11A8 \uAC00\u11A8 \u09C7\u09BE", text);
  EXPECT_EQ(text, "\u1EA1\u0301 \u00E9 \u0308\u0301 \uAC01 \uAC01 \u09CB");
}

TEST(Normalization, ComposingLeavesCharactersThatComposeWithNothing) {
  const std::string text("a\0b\0\0\xCC\x81 \xCC\x81", 10);
  std::string result;
  append_nfc(text, result);
  EXPECT_EQ(result, text);
}

TEST(Normalization, AMillionMarksTakeNoTime) {
  std::string text = "a", result;
  for (int i = 0; i < 500'000; ++i) text += i % 2 ? "\u0301" : "\u0323";
  append_nfc(text, result);
  EXPECT_EQ(result.size(), text.size());  // ạ in one, three bytes as both before; all acute accents after all dots
  EXPECT_EQ(normalized(bert(true, nullptr), text), "a");
}

TEST(Normalizer, ChangesTextStepByStep) {
  const json steps{{"type", "Sequence"},
                   {"normalizers",
                    {{{"type", "Prepend"}, {"prepend", "_"}},
                     {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "_"}},
                     {{"type", "Replace"}, {"pattern", {{"Regex", "_{2,}"}}}, {"content", "="}},
                     {{"type", "Lowercase"}}}}};
  EXPECT_EQ(normalized(steps, "The  River runs"), "_the=river_runs");
  EXPECT_EQ(normalized(steps, " x"), "=x");
  EXPECT_EQ(normalized(steps, ""), "");
  EXPECT_EQ(normalized(nullptr, "A b"), "A b");
}

TEST(Normalizer, SortsMarksThatAControlStoodBetween) {
  EXPECT_EQ(normalized(bert(true, nullptr), "a\u302E\u0001\U0001D165"), "a\U0001D165\u302E");
}

TEST(Normalizer, TextThatStaysIsNotCopied) {
  Normalizer::Scratch scratch;
  const std::string_view text = "caf\u00E9 \u0416";
  EXPECT_EQ(Normalizer({{"type", "NFC"}}, "test").apply("caf\u00E9", scratch), "caf\u00E9");
  EXPECT_EQ(Normalizer({{"type", "Replace"}, {"pattern", {{"String", "q"}}}, {"content", "x"}}, "test").apply(text, scratch).data(),
            text.data());
}

}  // namespace
}  // namespace isotrope

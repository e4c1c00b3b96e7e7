#include "isotrope/text/models/bert_encoder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "isotrope/text/steps/bert_scanner.h"
#include "isotrope/text/steps/pre_tokenizer.h"
#include "tests/text/random_text.h"

namespace isotrope {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;
using Words = std::vector<std::string>;

/// Normalizers of every combination of settings.
std::vector<Normalizer> all_normalizers() {
  std::vector<Normalizer> all;
  for (int bits = 0; bits < 16; ++bits)
    all.emplace_back(json{{"type", "BertNormalizer"},
                          {"clean_text", (bits & 1) != 0},
                          {"handle_chinese_chars", (bits & 2) != 0},
                          {"strip_accents", (bits & 4) != 0},
                          {"lowercase", (bits & 8) != 0}},
                     "test");
  return all;
}

/// The words by the definition: the text is normalized, then split.
Words expected_words(const Normalizer& normalizer, std::string_view text) {
  Words words;
  Normalizer::Scratch scratch;
  PreTokenizer(json{{"type", "BertPreTokenizer"}}, false, "test").for_each_word(normalizer.apply(text, scratch), true, [&](auto word) {
    words.emplace_back(word);
  });
  return words;
}

/// The words as the scanner finds them, cleaned one by one.
Words scanned_words(const BertCharacters& characters, std::string_view text) {
  Words words;
  BertScanner scanner;
  scanner.start(characters, text);
  Normalizer::Scratch scratch;
  const PreTokenizer split(json{{"type", "BertPreTokenizer"}}, false, "test");
  for (WordBatch batch{}; scanner.next(batch);)
    for (std::size_t i = 0; i < batch.count; ++i)
      split.for_each_word(characters.clean(batch[i], scratch), true, [&](auto word) { words.emplace_back(word); });
  EXPECT_EQ(scanner.position(), text.size());
  return words;
}

/// Text with what BERT's cleaning finds hard besides: marks that keep their order and marks that do not, controls, ideographs.
std::string hard_text(RandomStream& random, std::size_t bytes) {
  static constexpr std::array<std::string_view, 22> parts{
      "\u0301", "\u0323", "\u302E", "\U0001D165", "\u0345", "\u212B", "\u2260", "\u037E", "\uF900", "\uAC01", "\u0130",
      "\u200B", "\uFFFD", "\u1FEF", "\u2000",     "\uFB1D", "\u01C5", "\uA9C0", "\x1F",   "\x0B",   "A",      "["};
  std::string text;
  while (text.size() < bytes) {
    if (random.below(3) == 0) text += parts[random.below(parts.size())];
    else text += tests::random_text(random, 1 + random.below(12));
  }
  return text;
}

WordPiece some_word_piece() {
  TokenizerDefinition definition;
  for (const std::string prefix : {"", "##"})
    for (const char* name :
         {"the", "th",           "a",      "z",      "e",       "ab",     "0",      "1",      "23", "123456", ".", ",", "'", "-", "!", "s",
          "re",  "\u0436\u0438", "\u4E2D", "\u0301", "e\u0301", "\u1100", "\u1161", "\u302E", "="})
      definition.names.push_back(prefix + name);
  definition.names.push_back("[UNK]");
  definition.in_model.assign(definition.names.size(), true);
  definition.model = WordPieceDefinition{.unknown = static_cast<TokenId>(definition.names.size() - 1), .longest_word = 40};
  return WordPiece(definition);
}

TEST(BertEncoder, EveryCodePointIsCutAndCleanedAsTheNormalizerSays) {
  for (const auto& normalizer : all_normalizers()) {
    const BertCharacters characters(normalizer);
    ASSERT_TRUE(characters.are_usable());
    std::string text;
    for (char32_t c = 0; c < 0x110000; c += c < 0x20000 ? 1 : 61) {  // ideographs, tags and nothing beyond two planes
      if (c >= 0xD800 && c < 0xE000) continue;
      text += 'a';
      append_utf8(text, c);
      if (c % 2 == 0) text += "b ";
    }
    ASSERT_TRUE(scanned_words(characters, text) == expected_words(normalizer, text));
  }
}

TEST(BertEncoder, WordsOfRandomTextAreTheNormalizedTexts) {
  RandomStream random(1, "test");
  const auto normalizers = all_normalizers();
  std::vector<BertCharacters> characters;
  for (const auto& normalizer : normalizers) characters.emplace_back(normalizer);
  for (int round = 0; round < 1500; ++round) {
    const auto text = hard_text(random, random.below(round % 10 == 0 ? 10'000 : 200));
    const auto i = random.below(normalizers.size());
    ASSERT_EQ(scanned_words(characters[i], text), expected_words(normalizers[i], text)) << "round " << round;
  }
}

TEST(BertEncoder, EveryPlaceOfAWordAtTheEndOfAChunkIsRight) {
  const auto normalizers = all_normalizers();
  const auto& normalizer = normalizers.back();
  const BertCharacters characters(normalizer);
  for (const std::string_view unit : {"a", "\u0416", "\u4E2D", "\u3000", ".", " ", "\u2014", "\U00010400", "\u0301", "\U0001D165", "\x01"})
    for (const std::size_t count : {std::size_t{1}, std::size_t{3}, BertScanner::chunk / 2, BertScanner::chunk + 1, 3 * BertScanner::chunk})
      for (std::size_t before = BertScanner::chunk - 6; before < BertScanner::chunk + 6; ++before)
        for (const std::string_view after : {"", "x", ", y"}) {
          std::string text(before, 'w');
          for (std::size_t i = 0; i < before; i += 7) text[i] = ' ';
          for (std::size_t i = 0; i < count; ++i) text += unit;
          text += after;
          ASSERT_TRUE(scanned_words(characters, text) == expected_words(normalizer, text))
              << unit << ' ' << count << ' ' << before << after;
        }
}

TEST(BertEncoder, IdsAreThoseOfNormalizerSplitterAndModelOneAfterAnother) {
  const auto model = some_word_piece();
  RandomStream random(2, "test");
  for (const auto& normalizer : all_normalizers()) {
    const auto encoder = BertEncoder::make(normalizer, model);
    ASSERT_TRUE(encoder);
    for (int round = 0; round < 60; ++round) {
      const auto text = hard_text(random, random.below(round % 10 == 0 ? 20'000 : 300));
      Ids expected, found;
      for (const auto& word : expected_words(normalizer, text)) model.encode_word(word, expected);
      BertEncoder::Worker(*encoder).encode(text, found);
      ASSERT_EQ(found, expected) << "round " << round;
    }
  }
}

TEST(BertEncoder, EveryInstructionSetSeesTheSameBytes) {
  RandomStream random(3, "test");
  std::string bytes(64 * 50, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(random.below(256));
  for (int i = 0; i < 256; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<char>(i);
  const auto variants = simd::bert_masks().all();
  for (const bool lowercase : {false, true}) {
    std::vector<simd::BertMasks> expected(50), found(50);
    std::string expected_copy(bytes.size(), '\0'), copy = expected_copy;
    variants.back().function(bytes.data(), 50, lowercase, expected_copy.data(), expected.data());
    for (const auto& variant : variants) {
      variant.function(bytes.data(), 50, lowercase, copy.data(), found.data());
      EXPECT_EQ(std::memcmp(found.data(), expected.data(), 50 * sizeof(simd::BertMasks)), 0) << variant.name;
      EXPECT_EQ(copy, expected_copy) << variant.name;
    }
  }
}

TEST(BertEncoder, OtherNormalizersAreNotItsBusiness) {
  const auto model = some_word_piece();
  EXPECT_FALSE(BertEncoder::make(Normalizer(), model));
  EXPECT_FALSE(BertEncoder::make(Normalizer(json{{"type", "Lowercase"}}, "test"), model));
}

}  // namespace
}  // namespace isotrope

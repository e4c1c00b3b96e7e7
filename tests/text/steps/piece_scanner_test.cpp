#include "isotrope/text/steps/piece_scanner.h"

#include <gtest/gtest.h>

#include <cstring>

#include "isotrope/text/steps/pattern_regex.h"
#include "isotrope/text/unicode/unicode.h"
#include "tests/text/random_text.h"

namespace isotrope {
namespace {

using Pieces = std::vector<std::string>;
constexpr Pattern all_patterns[] = {Pattern::gpt2, Pattern::llama3, Pattern::qwen2, Pattern::cl100k, Pattern::o200k};

Pieces scan(Pattern pattern, std::string_view text) {
  Pieces pieces;
  PieceScanner scanner;
  scanner.start(pattern, text);
  for (WordBatch batch{}; scanner.next(batch);)
    for (std::size_t i = 0; i < batch.count; ++i) pieces.emplace_back(batch[i]);
  return pieces;
}

Pieces one_by_one(Pattern pattern, std::string_view text) {
  Pieces pieces;
  for (std::size_t position = 0; position < text.size(); position += pieces.back().size())
    pieces.emplace_back(text.substr(position, next_piece(pattern, UnicodeTable::instance(), text, position)));
  return pieces;
}

TEST(PieceScanner, FindsThePiecesOfTheRegularExpression) {
  for (const auto pattern : all_patterns) {
    const PatternRegex regex(pattern_text(pattern), false, "test");
    RandomStream random(1, "test");
    for (int round = 0; round < 300; ++round) {
      const auto text = tests::random_text(random, random.below(400));
      Pieces expected;
      regex.split(text, [&](std::string_view piece, bool) { expected.emplace_back(piece); });
      ASSERT_EQ(scan(pattern, text), expected) << text;
    }
  }
}

TEST(PieceScanner, KnowsOtherSpellingsThatMeanTheSame) {
  constexpr std::pair<Pattern, std::string_view> spellings[] = {
      {Pattern::gpt2, R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
      {Pattern::llama3,
       R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"}};
  RandomStream random(4, "test");
  for (const auto& [pattern, spelling] : spellings) {
    ASSERT_EQ(find_pattern(spelling), pattern);
    const PatternRegex regex(spelling, false, "test");
    for (int round = 0; round < 300; ++round) {
      const auto text = tests::random_text(random, random.below(400));
      Pieces expected;
      regex.split(text, [&](std::string_view piece, bool) { expected.emplace_back(piece); });
      ASSERT_EQ(scan(pattern, text), expected) << text;
    }
  }
}

TEST(PieceScanner, FindsThePiecesOfTheSlowScannerAcrossChunks) {
  RandomStream random(2, "test");
  for (int round = 0; round < 150; ++round) {
    const auto text = tests::random_text(random, random.below(3 * PieceScanner::longest_batch));
    for (const auto pattern : all_patterns) ASSERT_EQ(scan(pattern, text), one_by_one(pattern, text)) << "round " << round;
  }
}

TEST(PieceScanner, EveryLengthOfARunAtTheEndOfAChunkIsRight) {
  for (const std::string_view unit :
       {"a", "1", " ", "\n", "\t", ".", "\u3000", "\u0416", "\u0967", "\u200D", "'s", " \n", "\n                "})
    for (const std::string_view after : {"", "x", " x", "\n", "'ll be", "\u00A0\u0416"})
      for (std::size_t before = PieceScanner::chunk - 70; before < PieceScanner::chunk + 70; before += 7) {
        std::string text;
        while (text.size() < before) text += "word ";
        for (int i = 0; i < 40; ++i) text += unit;
        text += after;
        for (const auto pattern : all_patterns) ASSERT_EQ(scan(pattern, text), one_by_one(pattern, text)) << unit << after << before;
      }
}

TEST(PieceScanner, APieceLongerThanAChunkIsOne) {
  for (const std::string_view unit : {"a", " ", "\n", ".", "\u0416", "\u3000", "1"}) {
    std::string text = "x ";
    for (std::size_t i = 0; i < 2 * PieceScanner::chunk + 100; ++i) text += unit;
    text += " end";
    for (const auto pattern : all_patterns) EXPECT_EQ(scan(pattern, text), one_by_one(pattern, text)) << unit;
  }
}

TEST(PieceScanner, EveryInstructionSetSeesTheSameBytes) {
  RandomStream random(3, "test");
  std::string bytes(64 * 50, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(random.below(256));
  for (int i = 0; i < 256; ++i) bytes[i] = static_cast<char>(i);
  const auto variants = simd::byte_masks().all();
  std::vector<simd::ByteMasks> expected(50), found(50);
  variants.back().function(bytes.data(), 50, expected.data());
  for (const auto& variant : variants) {
    variant.function(bytes.data(), 50, found.data());
    EXPECT_EQ(std::memcmp(found.data(), expected.data(), 50 * sizeof(simd::ByteMasks)), 0) << variant.name;
  }
}

}  // namespace
}  // namespace isotrope

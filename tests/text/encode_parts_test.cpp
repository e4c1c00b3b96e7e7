#include "isotrope/text/encode_parts.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "isotrope/base/random.h"
#include "isotrope/text/json_field.h"
#include "tests/text/charsmap_blob.h"
#include "tests/text/golden_files.h"
#include "tests/text/random_text.h"

namespace isotrope {
namespace {

using Ids = std::vector<TokenId>;

std::string words(std::size_t bytes) {
  std::string text;
  RandomStream random(1, "test");
  while (text.size() < bytes) text += std::string(1 + random.below(9), static_cast<char>('a' + random.below(26))) + " ";
  return text;
}

Ids encode_on(const std::string& text, int threads, const EncodeParts::EncodePart& encode, Ids before = {7}) {
  EncodeParts parts(text, std::move(before), [&](std::size_t position) { return std::min(text.find(' ', position), text.size()); });
  {
    std::vector<std::jthread> workers;
    for (int i = 1; i < threads; ++i) workers.emplace_back([&] { parts.work(encode); });
    parts.work(encode);
  }
  return parts.take();
}

/// The bytes as ids, some parts much slower than others.
void bytes_of(EncodeParts::Part& part) {
  if (part.text.size() % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(part.text.size() % 7));
  for (const char c : part.text) part.ids.push_back(c);
}

TEST(EncodeParts, AnyNumberOfThreadsGivesTheSameIds) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, EncodeParts::part_size, EncodeParts::part_size * 3 / 2 + 9, 20 * EncodeParts::part_size}) {
    const auto text = words(size);
    Ids expected{7};
    for (const char c : text) expected.push_back(c);
    for (const int threads : {1, 2, 3, 8}) ASSERT_TRUE(encode_on(text, threads, bytes_of) == expected) << size << " on " << threads;
  }
}

TEST(EncodeParts, ATextThatCannotBeCutIsOnePart) {
  const std::string text(5 * EncodeParts::part_size, 'a');
  int parts = 0;
  (void)encode_on(text, 1, [&](EncodeParts::Part& part) {
    ++parts;
    EXPECT_EQ(part.text.size(), text.size());
  });
  EXPECT_EQ(parts, 1);
}

TEST(EncodeParts, AThreadsErrorIsThrownOnce) {
  const auto text = words(20 * EncodeParts::part_size);
  for (const int threads : {1, 3})
    EXPECT_THROW((void)encode_on(text, threads,
                                 [&](EncodeParts::Part& part) {
                                   if (part.text.data() != text.data()) throw std::runtime_error("broken");
                                 }),
                 std::runtime_error);
}

TEST(EncodeParts, EveryTokenizerGivesTheSameIdsOnAnyNumberOfThreads) {
  RandomStream random(2, "test");
  std::string text;
  while (text.size() < 5 * EncodeParts::part_size) {
    text += tests::random_text(random, 200) + " the river opens ";
    if (random.below(20) == 0) text += "\xE6\x97 \xFF";  // broken bytes, in most parts
    if (random.below(20) == 0) text += "<|endoftext|>[SEP]</s>";
  }
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(tests::golden_path(""))) {
    const auto name = entry.path().filename().string();
    if (!name.ends_with(".tokenizer.json") && !name.ends_with(".model")) continue;
    const auto tokenizer = load_tokenizer(entry.path());
    count += name.ends_with(".model");
    const auto expected = tokenizer->encode(text);
    EXPECT_TRUE(tokenizer->encode(replace_invalid_utf8(text)) == expected) << entry.path();
    for (const int threads : {2, 3, 8})
      EXPECT_TRUE(tokenizer->encode_parallel(text, threads) == expected) << entry.path() << " on " << threads;
    for (const auto few : {"", "a", "a \xFF\xFE", " a\xE6\x97"})
      EXPECT_EQ(tokenizer->encode_parallel(few, 2), tokenizer->encode(few)) << few;
  }
  EXPECT_GE(count, 6);
}

/// "b" disappears, and of two spaces that meet one stays: no part may end with a "b".
TEST(EncodeParts, NoCutIsBehindALetterThatNormalizationTakesAway) {
  auto description = nlohmann::json::parse(R"({"normalizer": {"type": "Precompiled"}, "model": {"type": "Unigram", "unk_id": 0,
    "vocab": [["<unk>", 0], ["\u2581", -1], ["a", -2]], "sentencepiece": {"unknown": [0]}}})");
  description["normalizer"]["precompiled_charsmap"] = json_field::spell_base64(tests::blob_of({{"b", ""}}));
  const auto tokenizer = parse_tokenizer(description.dump());
  RandomStream random(3, "test");
  std::string text;
  while (text.size() < 30 * EncodeParts::part_size) text += random.below(2) == 0 ? "a " : "b ";
  EXPECT_TRUE(tokenizer->encode_parallel(text, 3) == tokenizer->encode(text));
}

}  // namespace
}  // namespace isotrope

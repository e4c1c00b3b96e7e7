#include "isotrope/text/encode_parts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"
#include "isotrope/text/steps/json_field.h"
#include "isotrope/text/tokenizer.h"
#include "tests/text/golden_files.h"
#include "tests/text/random_text.h"
#include "tests/text/steps/charsmap_blob.h"

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
  }
  EXPECT_GE(count, 6);
}

nlohmann::json small_model(const std::vector<std::string>& flags_off = {}) {
  auto description = nlohmann::json::parse(R"({"model": {"type": "Unigram", "unk_id": 0,
    "vocab": [["<unk>", 0], ["\u2581", -1], ["a", -2], ["aa", -4]], "sentencepiece": {"unknown": [0]}}})");
  for (const auto& flag : flags_off) description["model"]["sentencepiece"][flag] = false;
  return description;
}

void expect_the_same_on_threads(const nlohmann::json& description, const std::string& text) {
  const auto tokenizer = parse_tokenizer(description.dump());
  for (const int threads : {2, 3}) EXPECT_TRUE(tokenizer->encode_parallel(text, threads) == tokenizer->encode(text)) << description;
}

/// "b" disappears, and of two spaces that meet one stays: no part may end with a "b".
TEST(EncodeParts, NoCutIsBehindALetterThatNormalizationTakesAway) {
  auto description = small_model();
  description["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", json_field::spell_base64(tests::blob_of({{"b", ""}}))}};
  RandomStream random(3, "test");
  std::string text;
  while (text.size() < 30 * EncodeParts::part_size) text += random.below(2) == 0 ? "a " : "b ";
  expect_the_same_on_threads(description, text);
}

/// What follows a token begins a text, to which SentencePiece, Prepend and Strip do something.
TEST(EncodeParts, NoCutIsBehindAnAddedToken) {
  std::string text;
  while (text.size() < 4 * EncodeParts::part_size) text += "FOO aaa ";
  const auto expect_so = [&](nlohmann::json description, int id) {
    description["added_tokens"] = nlohmann::json::parse(fmt::format(R"([{{"id": {}, "content": "FOO", "special": true}}])", id));
    expect_the_same_on_threads(description, text);
    expect_the_same_on_threads(description, std::string(text.size(), 'x') + " " + text);
  };
  for (const std::vector<std::string>& off :
       {std::vector<std::string>{}, {"add_dummy_prefix"}, {"remove_extra_whitespaces"}, {"add_dummy_prefix", "remove_extra_whitespaces"}})
    expect_so(small_model(off), 4);
  for (const auto first :
       {R"({"type": "Prepend", "prepend": "\u2581"})", R"({"type": "Strip", "strip_left": true, "strip_right": true})"}) {
    auto description =
        nlohmann::json::parse(R"({"model": {"type": "BPE", "vocab": {"\u2581": 0, "a": 1, "aa": 2}, "merges": [["a", "a"]]}})");
    description["normalizer"] = {{"type", "Sequence"}, {"normalizers", nlohmann::json::array()}};
    for (const auto step : {first, R"({"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"})"})
      description["normalizer"]["normalizers"].push_back(nlohmann::json::parse(step));
    expect_so(description, 3);
  }
}

/// "aa" is one piece or two: nobody can tell without the sum before it, so that the text is looked at once more after its part has moved.
TEST(EncodeParts, RepairedTextsStayWhereTheyAre) {
  expect_the_same_on_threads(small_model(), "aa\xFF");
  std::string text;
  while (text.size() < 2 * EncodeParts::part_size) text += "aa aaa\xFF ";
  expect_the_same_on_threads(small_model(), text);
  expect_the_same_on_threads(small_model(), text + std::string(EncodeParts::part_size * 3 / 2, '?') + "a aa\xFF");
}

/// Text without a place to be cut is one part for any number of threads; with few of them parts are long.
TEST(EncodeParts, TextsWithFewPlacesToCut) {
  std::string text;
  for (const std::size_t length : {3u, 400'000u, 5u, 150'000u, 1'000u}) text += std::string(length, 'a') + " aa" + std::string(length, '?');
  expect_the_same_on_threads(small_model(), text);
  expect_the_same_on_threads(small_model(), std::string(400'000, '?'));
}

/// A character that is no piece where there is no unknown one, in the last part: the model says so on every number of threads.
TEST(EncodeParts, AnErrorWhileWordsAreSettledIsThrown) {
  auto description = small_model();
  description["model"].erase("unk_id");
  description["model"]["sentencepiece"].erase("unknown");
  std::string text;
  while (text.size() < 6 * EncodeParts::part_size) text += "aa aaa ";
  const auto tokenizer = parse_tokenizer(description.dump());
  std::vector<std::string> messages;
  for (const int threads : {1, 2, 5}) try {
      (void)tokenizer->encode_parallel(text + "?", threads);
    } catch (const InputError& error) {
      messages.emplace_back(error.message());
    }
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[1], messages[0]);
  EXPECT_EQ(messages[2], messages[0]);
}

}  // namespace
}  // namespace isotrope

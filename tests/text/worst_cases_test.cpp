// Texts that make careless algorithms quadratic: ten times the text must take about ten times the time, with every kind of tokenizer.
#include <gtest/gtest.h>

#include <ctime>
#include <functional>
#include <nlohmann/json.hpp>

#include "isotrope/base/random.h"
#include "isotrope/text/steps/normalizer.h"
#include "isotrope/text/tokenizer.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using nlohmann::json;

/// Seconds of this thread's processor time, the least of three.
double seconds_of(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  double best = 1e9;
  for (int round = 0; round < 3; ++round) {
    const double start = now();
    work();
    best = std::min(best, now() - start);
  }
  return best;
}

std::string repeated(std::string_view unit, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

std::string random_letters(std::size_t bytes, std::string_view letters) {
  RandomStream random(1, "test");
  std::string text(bytes, ' ');
  for (auto& c : text) c = letters[random.below(letters.size())];
  return text;
}

struct TextKind {
  std::string name;
  std::function<std::string(std::size_t)> make;
};

std::vector<TextKind> kinds_of_text() {
  std::vector<TextKind> kinds;
  for (const std::string unit : {"a",
                                 " ",
                                 "ab",
                                 "\n",
                                 " \n",
                                 "7",
                                 ".",
                                 "'",
                                 "<",
                                 "[CLS]",
                                 "<|endoftext|>",
                                 "a ",
                                 "#",
                                 "aA",
                                 "\u0301",
                                 "\u0301\u0323",
                                 "\u094D",
                                 "\u1100",
                                 "\uAC01",
                                 "\u4E2D",
                                 "\u2581",
                                 "\u3000",
                                 "\u200D",
                                 "\U0001F600",
                                 "\x01",
                                 "\u0E01\u0E38\u0E48"})
    kinds.push_back({unit, [unit](std::size_t bytes) { return repeated(unit, bytes); }});
  kinds.push_back({"a word of random letters", [](std::size_t bytes) { return random_letters(bytes, "abcdefghijklmnopqrstuvwxyz"); }});
  kinds.push_back({"a word of few letters", [](std::size_t bytes) { return random_letters(bytes, "et"); }});
  kinds.push_back({"beginnings of added tokens", [](std::size_t bytes) { return random_letters(bytes, "<|[CLS"); }});
  kinds.push_back({"a letter, then marks", [](std::size_t bytes) { return "e" + repeated("\u0323\u0301", bytes); }});
  kinds.push_back(
      {"marks in falling order", [](std::size_t bytes) { return repeated("\u0301", bytes / 2) + repeated("\u0323", bytes / 2); }});
  return kinds;
}

/// Ten times the text may take 40 times the time: caches that overflow and logarithms are within it, squares (100 times) are not.
void expect_linear(const std::string& name, const std::function<std::string(std::size_t)>& make,
                   const std::function<void(const std::string&)>& work) {
  constexpr std::size_t size = 20'000;
  const auto small = make(size), large = make(10 * size);
  const double first = seconds_of([&] { work(small); }), second = seconds_of([&] { work(large); });
  EXPECT_LT(second, 40 * std::max(first, 50e-6)) << name << ": " << first << " s, then " << second << " s";
}

std::vector<std::string> all_tokenizers() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(tests::golden_path("")))
    if (entry.path().filename().string().ends_with(".tokenizer.json")) names.push_back(entry.path().filename().string());
  return names;
}

TEST(WorstCases, EncodingAndDecodingAreLinearInTheText) {
  for (const auto& file : all_tokenizers()) {
    const auto tokenizer = load_tokenizer(tests::golden_path(file));
    for (const auto& kind : kinds_of_text()) {
      expect_linear(file + " encodes " + kind.name, kind.make, [&](const std::string& text) { (void)tokenizer->encode(text); });
      const auto ids = tokenizer->encode(kind.make(200'000));
      const std::span all(ids);
      const double first = seconds_of([&] { (void)tokenizer->decode(all.first(ids.size() / 10)); });
      const double second = seconds_of([&] { (void)tokenizer->decode(all); });
      EXPECT_LT(second, 40 * std::max(first, 50e-6)) << file << " decodes " << kind.name << ": " << first << " s, then " << second << " s";
    }
  }
}

TEST(WorstCases, WordPieceWithoutALimitOfTheWordIsLinear) {
  auto description = tests::golden("word_piece.tokenizer.json");
  description["model"]["max_input_chars_per_word"] = 100'000'000;
  const auto tokenizer = parse_tokenizer(description.dump());
  for (const auto& kind : kinds_of_text())
    expect_linear(kind.name, kind.make, [&](const std::string& text) { (void)tokenizer->encode(text); });
}

TEST(WorstCases, NormalizersAreLinearInTheText) {
  for (const json& description :
       {json{{"type", "NFC"}}, json{{"type", "NFD"}}, json{{"type", "BertNormalizer"}}, json{{"type", "Lowercase"}},
        json{{"type", "StripAccents"}}, json{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}}) {
    const Normalizer normalizer(description, "test");
    for (const auto& kind : kinds_of_text())
      expect_linear(description.dump() + " " + kind.name, kind.make, [&](const std::string& text) {
        Normalizer::Scratch scratch;
        (void)normalizer.apply(text, scratch);
      });
  }
}

TEST(WorstCases, ManyAddedTokensAreFoundInOnePass) {
  auto description = tests::golden("gpt2.tokenizer.json");
  auto& added = description["added_tokens"];
  auto id = load_tokenizer(tests::golden_path("gpt2.tokenizer.json"))->vocab_size();
  for (int i = 0; i < 3000; ++i)
    added.push_back({{"id", id++},
                     {"content", "<extra_" + std::to_string(i) + ">"},
                     {"normalized", i % 2 == 0},
                     {"special", i % 3 == 0},
                     {"lstrip", i % 5 == 0},
                     {"rstrip", i % 7 == 0}});
  const auto tokenizer = parse_tokenizer(description.dump());
  for (const std::string unit : {"<extra_", "<extra_77>", "<extra_5> ", " <extra_", "<", "<extra_35>   <extra_70>   "})
    expect_linear(
        unit, [&](std::size_t bytes) { return repeated(unit, bytes); }, [&](const std::string& text) { (void)tokenizer->encode(text); });
}

}  // namespace
}  // namespace isotrope

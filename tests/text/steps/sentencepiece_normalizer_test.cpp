// Normalization, which passes over stretches that stay what they are, against one step after another by the definition.
#include "isotrope/text/steps/sentencepiece_normalizer.h"

#include <gtest/gtest.h>

#include <array>
#include <map>

#include "isotrope/base/random.h"
#include "isotrope/text/files/scored_vocabulary.h"
#include "isotrope/text/unicode/utf8.h"
#include "tests/text/steps/charsmap_blob.h"

namespace isotrope {
namespace {

using Entries = std::map<std::string, std::string>;

constexpr std::array<std::string_view, 14> characters{"a",      "b",      "e",      "!",          "\u00e9",     "\u0301", "\u0444",
                                                      "\u0438", "\u304b", "\u3099", "\U0001F600", "\U0001F3FD", " ",      "\u2581"};

std::string some_characters(RandomStream& random, std::size_t count) {
  std::string text;
  for (; count > 0; --count) text += characters[random.below(characters.size())];
  return text;
}

/// At each place the longest user-defined piece, else the longest entry, else a character; a byte that begins none becomes U+FFFD.
std::string by_definition(std::string_view text, const Entries& entries, const std::vector<std::string>& user_defined) {
  std::string result;
  for (std::size_t position = 0; position < text.size();) {
    const auto rest = text.substr(position);
    std::string_view piece;
    for (const auto& each : user_defined)
      if (each.size() > piece.size() && rest.starts_with(each)) piece = each;
    std::string becomes(piece);
    auto length = piece.size();
    for (const auto& [key, value] : entries)
      if (piece.empty() && key.size() > length && rest.starts_with(key)) becomes = value, length = key.size();
    if (length == 0) {
      const auto step = utf8_step(text, position);
      length = step.valid ? step.length : 1;
      becomes = step.valid ? std::string(rest.substr(0, length)) : "\uFFFD";
    }
    for (const char c : becomes) c == ' ' ? result.append("\u2581") : result.append(1, c);
    position += length;
  }
  return result;
}

TEST(SentencePieceNormalizer, TakesTheLongestEntryAtEachPlace) {
  RandomStream random(21, "test");
  int changed = 0;
  for (int round = 0; round < 400; ++round) {
    Entries entries;
    for (auto count = random.below(8); count > 0; --count) {
      auto key = some_characters(random, 1 + random.below(3));
      if (round % 4 == 0 && random.below(3) == 0) key.resize(1 + random.below(key.size()));  // may end inside a character
      entries[key] = random.below(4) == 0 ? "" : some_characters(random, 1 + random.below(2));
    }
    TokenizerDefinition definition;
    definition.file = "f";
    std::vector<std::string> user_defined;
    if (round % 3 == 0)
      for (auto count = random.below(3); count > 0; --count) user_defined.push_back(some_characters(random, 1 + random.below(3)));
    definition.names = user_defined;
    auto& rules = definition.sentencepiece.emplace();
    rules.types.assign(user_defined.size(), static_cast<std::uint8_t>(ScoredVocabulary::Type::user_defined));
    rules.add_dummy_prefix = rules.remove_extra_whitespaces = rules.treat_whitespace_as_suffix = false;
    rules.escape_whitespaces = true;
    if (!entries.empty()) rules.charsmap = tests::blob_of(entries);
    const SentencePieceNormalizer normalizer(definition);
    for (int line = 0; line < 40; ++line) {
      const auto text = some_characters(random, random.below(24));
      std::string result;
      normalizer.append(text, {}, result);
      ASSERT_EQ(result, by_definition(text, entries, user_defined)) << text << " in round " << round;
      changed += result != text;
    }
  }
  EXPECT_GT(changed, 4000);
}

}  // namespace
}  // namespace isotrope

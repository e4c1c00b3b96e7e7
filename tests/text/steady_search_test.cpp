// The trie by characters against a set of pieces, and the steady search against the definition of sentencepiece's search: sums in single precision.
#include "isotrope/text/steady_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "isotrope/base/random.h"
#include "isotrope/text/utf8.h"

namespace isotrope {
namespace {

using Numbers = std::vector<TokenId>;

std::string spell(char32_t character) {
  std::string text;
  append_utf8(text, character);
  return text;
}

std::string random_word(RandomStream& random, const std::vector<std::string>& letters, std::size_t most) {
  std::string word;
  for (auto count = 1 + random.below(most); count > 0; --count) word += letters[random.below(letters.size())];
  return word;
}

/// Every piece that begins at a place of the word, by the trie.
std::map<std::string, std::int32_t> found_at(const PieceTrie& trie, const std::string& word) {
  std::vector<unsigned char> codes;
  const auto size = trie.read(word, codes);
  EXPECT_EQ(codes[size], 0);
  std::map<std::string, std::int32_t> found;
  std::size_t byte = 0, code = 0;
  for (auto state = trie.root(); code < size;) {
    std::int32_t value = -1;
    const auto next = code + PieceTrie::code_size(codes[code]);
    for (; code < next; ++code)
      if (!trie.step(state, codes[code], value)) return found;
    (void)next_code_point(word, byte);
    if (value >= 0) found[word.substr(0, byte)] = value;
  }
  return found;
}

TEST(PieceTrie, FindsThePiecesThatBeginAText) {
  RandomStream random(3, "test");
  for (const std::size_t alphabet : {3, 40, 190, 191, 192, 600, 12400, 21000}) {
    std::vector<std::string> letters;
    for (std::size_t i = 0; i < alphabet; ++i) letters.push_back(spell(static_cast<char32_t>(i < 26 ? 'a' + i : 0x4E00 + i)));
    std::map<std::string, std::int32_t> pieces;
    const auto put = [&](const std::string& piece) { pieces.emplace(piece, static_cast<std::int32_t>(pieces.size())); };
    for (std::size_t i = 0; i < alphabet; i += 1 + (i % 3)) put(letters[i]);  // some letters are no pieces
    for (int i = 0; i < 400; ++i) put(random_word(random, letters, 5));
    put("zq~");  // no piece begins with ~
    const PieceTrie trie({pieces.begin(), pieces.end()}, "f");
    for (const auto& [piece, value] : pieces) ASSERT_EQ(trie.find(piece), value) << piece;
    letters.insert(letters.end(), {"~", "\u0416", "\U0001F600"});
    for (int round = 0; round < 1500; ++round) {
      auto word = random_word(random, letters, 6);
      if (round % 2 == 0) word = std::next(pieces.begin(), static_cast<std::ptrdiff_t>(random.below(pieces.size())))->first + word;
      std::map<std::string, std::int32_t> expected;
      for (std::size_t at = 0; at < word.size();) {
        (void)next_code_point(word, at);
        if (const auto found = pieces.find(word.substr(0, at)); found != pieces.end()) expected.insert(*found);
      }
      ASSERT_EQ(found_at(trie, word), expected) << alphabet << ' ' << word;
      ASSERT_EQ(trie.find(word), pieces.contains(word) ? pieces.at(word) : -1);
    }
  }
  EXPECT_EQ(PieceTrie({}, "f").find("a"), -1);
}

struct Vocabulary {
  std::map<std::string, TokenId> pieces;
  std::vector<float> scores;
  float unknown_score;
};

/// The ids of a way, 0 for each unknown character, the bytes of those, and the sum of scores behind it.
struct Way {
  Numbers ids;
  std::string unknown;
  float sum;
  bool operator==(const Way&) const = default;
};

/// Viterbi's algorithm as sentencepiece has it.
Way way_of(const Vocabulary& vocabulary, std::string_view word, float sum) {
  struct Node {
    float score = 0;
    std::ptrdiff_t start = -1;
    TokenId id = -1;
  };
  std::vector<Node> nodes(word.size() + 1);
  nodes[0].score = sum;
  for (std::size_t start = 0; start < word.size();) {
    auto next = start;
    (void)next_code_point(word, next);
    const auto offer = [&](std::size_t end, float score, TokenId id) {
      const float total = score + nodes[start].score;
      if (nodes[end].start < 0 || total > nodes[end].score) nodes[end] = {total, static_cast<std::ptrdiff_t>(start), id};
    };
    bool has_single = false;
    for (auto end = next; end <= word.size(); (void)(end == word.size() ? ++end : next_code_point(word, end)))
      if (const auto found = vocabulary.pieces.find(std::string(word.substr(start, end - start))); found != vocabulary.pieces.end()) {
        offer(end, vocabulary.scores[static_cast<std::size_t>(found->second)], found->second);
        has_single |= end == next;
      }
    if (!has_single) offer(next, vocabulary.unknown_score, 0);
    start = next;
  }
  Way way{.ids = {}, .unknown = "", .sum = nodes[word.size()].score};
  for (auto at = word.size(); at > 0; at = static_cast<std::size_t>(nodes[at].start)) {
    const auto& node = nodes[at];
    way.ids.insert(way.ids.begin(), node.id);
    if (node.id == 0) way.unknown.insert(0, word.substr(static_cast<std::size_t>(node.start), at - static_cast<std::size_t>(node.start)));
  }
  return way;
}

/// What numbers stand for, where an unknown character becomes its bytes.
Way way_of(const Vocabulary& vocabulary, const Numbers& numbers, float sum) {
  Way way{.ids = {}, .unknown = "", .sum = sum};
  for (const auto number : numbers) {
    if (number >= 0 || number == SteadySearch::unknown_character) {
      way.sum += number >= 0 ? vocabulary.scores[static_cast<std::size_t>(number)] : vocabulary.unknown_score;
      way.ids.push_back(std::max(number, 0));
    } else {
      way.unknown += static_cast<char>(SteadySearch::unscored(number));
    }
  }
  return way;
}

void append_bytes(std::string_view run, Numbers& ids) {
  for (const char byte : run) ids.push_back(static_cast<unsigned char>(byte));
}

class SteadySearchProperty : public ::testing::TestWithParam<int> {};

TEST_P(SteadySearchProperty, HoldsAfterEverySumBelowItsLimit) {
  RandomStream random(static_cast<std::uint64_t>(GetParam()), "test");
  const std::vector<std::string> letters{"a", "b", "c", "\u0431", "\u4e00", "x", "\U0001F600"};
  Vocabulary vocabulary{.pieces = {}, .scores = {0}, .unknown_score = -20};
  const float scale = std::vector{1.0f, 12.0f, 1e-3f, 300.0f, 1e7f, 12.0f}[static_cast<std::size_t>(GetParam())];
  for (int i = 0; i < 60; ++i) {
    const auto piece = random_word(random, {letters.begin(), letters.begin() + 5}, 1 + random.below(4));
    if (!vocabulary.pieces.emplace(piece, static_cast<TokenId>(vocabulary.scores.size())).second) continue;
    const auto steps = static_cast<float>(random.below(12));  // many ways are equal or nearly so
    vocabulary.scores.push_back((GetParam() == 5 ? steps / 4 : -steps - 1 + static_cast<float>(random.below(3)) * 1e-6f) * scale / 12);
  }
  vocabulary.unknown_score *= scale;
  const PieceTrie trie({vocabulary.pieces.begin(), vocabulary.pieces.end()}, "f");
  const SteadySearch search({.pieces = trie,
                             .scores = vocabulary.scores,
                             .unknown = 0,
                             .unknown_score = vocabulary.unknown_score,
                             .append_unknown = append_bytes,
                             .most_sum = 100'000});
  SteadySearch::Scratch scratch;
  int steady = 0, unknown = 0;
  for (int round = 0; round < 4000; ++round) {
    const auto word = random_word(random, letters, 14);
    Numbers numbers{7};
    const auto limit = search.append(word, scratch, numbers);
    ASSERT_EQ(numbers.front(), 7);
    numbers.erase(numbers.begin());
    if (limit == 0) {
      ASSERT_TRUE(numbers.empty());
      continue;
    }
    ++steady;
    for (int i = 0; i < 8; ++i) {
      const auto before = limit * 0.999f * (static_cast<float>(random.below(2001)) / 1000 - 1) * (i < 4 ? 1.0f : 1e-3f);
      const auto expected = way_of(vocabulary, word, before);
      ASSERT_TRUE(way_of(vocabulary, numbers, before) == expected) << word << ' ' << before << ' ' << limit;
      unknown += !expected.unknown.empty();
    }
  }
  if (scale < 1e6f) EXPECT_GT(steady, 500);
  if (scale < 1e6f) EXPECT_GT(unknown, 100);
}
INSTANTIATE_TEST_SUITE_P(Scales, SteadySearchProperty, ::testing::Range(0, 6));

}  // namespace
}  // namespace isotrope

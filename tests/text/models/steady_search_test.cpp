// The trie by characters against a set of pieces, and the steady search against the definition of sentencepiece's search: sums in single precision.
#include "isotrope/text/models/steady_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "isotrope/base/random.h"
#include "isotrope/text/unicode/utf8.h"

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

TEST(PieceTrie, HasACodeForEveryCodePoint) {
  std::vector<std::string> characters;
  for (char32_t c = 0; c < 0x110000; ++c)
    if (c < 0xD800 || c >= 0xE000) characters.push_back(spell(c));
  std::vector<std::pair<std::string_view, std::int32_t>> pieces;
  for (std::size_t i = 0; i < characters.size(); ++i) pieces.emplace_back(characters[i], static_cast<std::int32_t>(i));
  pieces.emplace_back(characters[5], 7);  // of equal pieces the last counts
  const PieceTrie trie(std::move(pieces), "f");
  for (std::size_t i = 0; i < characters.size(); ++i) ASSERT_EQ(trie.find(characters[i]), i == 5 ? 7 : static_cast<std::int32_t>(i));
  EXPECT_EQ(trie.find(characters[0] + characters[1]), -1);
}

struct SmallVocabulary {
  std::map<std::string, TokenId> pieces;
  std::vector<double> scores;  ///< of single precision, but where double is asked for
  double unknown_score;
};

/// The ids of a way, 0 for each unknown character, the bytes of those, and the sum of scores behind it.
template <class Score>
struct Way {
  Numbers ids;
  std::string unknown;
  Score sum;
  bool operator==(const Way&) const = default;
};

constexpr float most_sum = 100'000;

/// Viterbi's algorithm: in single precision as sentencepiece has it, which counts from 0 again where a sum is beyond most_sum, in double
/// precision as HF tokenizers has it.
template <class Score>
Way<Score> way_of(const SmallVocabulary& vocabulary, std::string_view word, Score sum) {
  struct Node {
    Score score = 0;
    std::ptrdiff_t start = -1;
    TokenId id = -1;
  };
  std::vector<Node> nodes(word.size() + 1);
  nodes[0].score = sum;
  for (std::size_t start = 0; start < word.size();) {
    if (const auto here = nodes[start].score; std::is_same_v<Score, float> && std::abs(here) > most_sum)
      for (auto at = start; at <= word.size(); ++at)
        if (at == start || nodes[at].start >= 0) nodes[at].score -= here;
    auto next = start;
    (void)next_code_point(word, next);
    const auto offer = [&](std::size_t end, double score, TokenId id) {
      const Score total = static_cast<Score>(score) + nodes[start].score;
      if (nodes[end].start < 0 || total > nodes[end].score) nodes[end] = {total, static_cast<std::ptrdiff_t>(start), id};
    };
    bool has_single = false;
    const auto try_piece = [&](std::size_t end) {
      const auto found = vocabulary.pieces.find(std::string(word.substr(start, end - start)));
      if (found == vocabulary.pieces.end()) return;
      offer(end, vocabulary.scores[static_cast<std::size_t>(found->second)], found->second);
      has_single |= end == next;
    };
    for (auto end = next;; (void)next_code_point(word, end)) {
      try_piece(end);
      if (end == word.size()) break;
    }
    if (!has_single) offer(next, vocabulary.unknown_score, 0);
    start = next;
  }
  Way<Score> way{.ids = {}, .unknown = "", .sum = nodes[word.size()].score};
  for (auto at = word.size(); at > 0; at = static_cast<std::size_t>(nodes[at].start)) {
    const auto& node = nodes[at];
    way.ids.insert(way.ids.begin(), node.id);
    if (node.id == 0) way.unknown.insert(0, word.substr(static_cast<std::size_t>(node.start), at - static_cast<std::size_t>(node.start)));
  }
  return way;
}

/// What numbers stand for, where an unknown character becomes its bytes.
template <class Score>
Way<Score> way_of(const SmallVocabulary& vocabulary, const Numbers& numbers, Score sum) {
  Way<Score> way{.ids = {}, .unknown = "", .sum = sum};
  for (const auto number : numbers) {
    if (number >= 0 || number == SteadySearch::unknown_character) {
      way.sum += static_cast<Score>(number >= 0 ? vocabulary.scores[static_cast<std::size_t>(number)] : vocabulary.unknown_score);
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

SteadySearch search_of(const PieceTrie& trie, const SmallVocabulary& vocabulary) {
  return SteadySearch({.pieces = trie,
                       .scores = vocabulary.scores,
                       .unknown = 0,
                       .unknown_score = vocabulary.unknown_score,
                       .append_unknown = append_bytes,
                       .most_sum = most_sum});
}

/// The word's way after many sums below its limit, some of them just below; false: it has no limit.
bool check_below_limit(const SteadySearch& search, const SmallVocabulary& vocabulary, const std::string& word, RandomStream& random) {
  SteadySearch::Scratch scratch;
  Numbers numbers{7};
  const auto limit = search.append_steady(word, scratch, numbers);
  EXPECT_EQ(numbers.front(), 7);
  numbers.erase(numbers.begin());
  EXPECT_EQ(numbers.empty(), limit == 0) << word;
  for (int i = 0; i < 12 && limit > 0; ++i) {
    const auto part = i < 4 ? 1.0f - static_cast<float>(i) * 1e-6f : static_cast<float>(random.below(1000)) / (i < 8 ? 1000 : 1e6f);
    const auto before = std::nextafter(limit, 0.0f) * (i % 2 == 0 ? -part : part);
    const auto expected = way_of(vocabulary, word, before), found = way_of(vocabulary, numbers, before);
    EXPECT_TRUE(found == expected) << word << ' ' << before << ' ' << limit;
    if (!(found == expected)) return false;
  }
  return limit > 0;
}

/// The same in double precision, from 0.
bool check_exact(const SteadySearch& search, const SmallVocabulary& vocabulary, const std::string& word) {
  SteadySearch::Scratch scratch;
  Numbers numbers;
  const bool is_found = search.append_exact(word, scratch, numbers);
  EXPECT_EQ(is_found, !numbers.empty());
  if (is_found) EXPECT_TRUE(way_of(vocabulary, numbers, 0.0) == way_of(vocabulary, word, 0.0)) << word;
  return is_found;
}

struct SearchKind {
  float scale;       ///< of scores
  std::size_t more;  ///< other letters with shorter codes
  bool positive = false;
};

class SteadySearchProperty : public ::testing::TestWithParam<SearchKind> {};

TEST_P(SteadySearchProperty, HoldsAfterEverySumBelowItsLimit) {
  const auto [scale, more, positive] = GetParam();
  RandomStream random(more + static_cast<std::uint64_t>(scale), "test");
  const std::vector<std::string> letters{"a", "b", "c", "\u0431", "\u4e00", "x", "\U0001F600"};
  SmallVocabulary vocabulary{.pieces = {}, .scores = {0}, .unknown_score = -20 * scale};
  const auto put = [&](const std::string& piece, float score) {
    if (vocabulary.pieces.emplace(piece, static_cast<TokenId>(vocabulary.scores.size())).second)
      vocabulary.scores.push_back(score * scale / 12);
  };
  for (int i = 0; i < 60; ++i) {
    const auto steps = static_cast<float>(random.below(12));  // many ways are equal or nearly so
    put(random_word(random, {letters.begin(), letters.begin() + 5}, 1 + random.below(4)),
        positive ? steps / 4 : -steps - 1 + static_cast<float>(random.below(3)) * 1e-6f);
  }
  put(std::string(300, 'a'), -1);  // a has a short code, the others have longer ones
  for (std::size_t i = 0; i < more; ++i) {
    std::string piece;
    for (int times = 0; times < 60; ++times) append_utf8(piece, static_cast<char32_t>(0x5000 + i));
    put(piece, -1);
  }
  const PieceTrie trie({vocabulary.pieces.begin(), vocabulary.pieces.end()}, "f");
  const auto search = search_of(trie, vocabulary);
  int steady = 0, unknown = 0, exact = 0;
  for (int round = 0; round < 4000; ++round) {
    const auto word = random_word(random, letters, 1 + random.below(14));
    exact += check_exact(search, vocabulary, word);
    if (!check_below_limit(search, vocabulary, word, random)) continue;
    ++steady;
    unknown += !way_of(vocabulary, word, 0.0f).unknown.empty();
    if (HasFailure()) return;
  }
  if (scale < 500) EXPECT_GT(steady, 500);
  if (scale < 500) EXPECT_GT(unknown, 100);
  EXPECT_GT(exact, 300);
}
INSTANTIATE_TEST_SUITE_P(Kinds, SteadySearchProperty,
                         ::testing::Values(SearchKind{1, 0}, SearchKind{12, 0}, SearchKind{1e-3f, 0}, SearchKind{300, 0},
                                           SearchKind{1000, 0}, SearchKind{1e7f, 0}, SearchKind{12, 0, true}, SearchKind{12, 300},
                                           SearchKind{300, 300}, SearchKind{12, 12500}));

/// Pairs of letters whose score is that of both by themselves and a little: less than a unit of the search, or rounding, tells the two ways apart.
template <class Score>
SmallVocabulary all_but_equal(double step) {
  RandomStream random(11, "test");
  SmallVocabulary vocabulary{.pieces = {}, .scores = {0}, .unknown_score = -30};
  const auto put = [&](const std::string& piece, double score) {
    vocabulary.pieces.emplace(piece, static_cast<TokenId>(vocabulary.scores.size()));
    vocabulary.scores.push_back(static_cast<Score>(score));
    return vocabulary.scores.back();
  };
  for (char32_t i = 0; i < 3000; ++i) {
    const auto first = spell(0x4E00 + 2 * i), second = spell(0x4E01 + 2 * i);
    const auto draw = [&] { return -6 - static_cast<double>(random.below(1'000'000)) / 1e6; };
    const auto a = put(first, draw()), b = put(second, draw());
    put(first + second, a + b + (static_cast<double>(random.below(41)) - 20) * step);
  }
  return vocabulary;
}

TEST(SteadySearch, LeavesAloneWhatIsAllButEqual) {
  RandomStream random(12, "test");
  for (const bool is_exact : {false, true})
    for (const double step : {2e-6, is_exact ? 1e-12 : 5e-7}) {
      const auto vocabulary = is_exact ? all_but_equal<double>(step) : all_but_equal<float>(step);
      const PieceTrie trie({vocabulary.pieces.begin(), vocabulary.pieces.end()}, "f");
      const auto search = search_of(trie, vocabulary);
      int found = 0;
      for (const auto& [word, id] : vocabulary.pieces)
        if (word.size() > 3)
          found += is_exact ? check_exact(search, vocabulary, word) : check_below_limit(search, vocabulary, word, random);
      EXPECT_LT(found, 2900);
      if (step == 2e-6) EXPECT_GT(found, 100);
    }
}

TEST(SteadySearch, LeavesAloneWhatIsTooLongOrUnknown) {
  const SmallVocabulary vocabulary{.pieces = {{"a", 1}, {"b", 2}}, .scores = {0, -1, -2}, .unknown_score = -5};
  const PieceTrie trie({vocabulary.pieces.begin(), vocabulary.pieces.end()}, "f");
  const auto search = search_of(trie, vocabulary);
  SteadySearch::Scratch scratch;
  Numbers numbers;
  for (const std::size_t size : {1, 254, 255}) {
    numbers.clear();
    EXPECT_GT(search.append_steady(std::string(size - 1, 'a') + "b", scratch, numbers), 0);
    auto expected = Numbers(size - 1, 1);
    expected.push_back(2);
    EXPECT_EQ(numbers, expected);
  }
  numbers.clear();
  for (const std::size_t size : {256, 257, 511, 512, 1000}) EXPECT_EQ(search.append_steady(std::string(size, 'a'), scratch, numbers), 0);
  EXPECT_TRUE(numbers.empty());
  EXPECT_GT(search.append_steady("axb", scratch, numbers), 0);
  EXPECT_EQ(numbers, (Numbers{1, SteadySearch::unknown_character, SteadySearch::unscored('x'), 2}));
  const SteadySearch none({.pieces = trie,
                           .scores = vocabulary.scores,
                           .unknown = {},
                           .unknown_score = -5,
                           .append_unknown = append_bytes,
                           .most_sum = most_sum});
  numbers.clear();
  EXPECT_EQ(none.append_steady("axb", scratch, numbers), 0);
  EXPECT_GT(none.append_steady("ab", scratch, numbers), 0);
  EXPECT_EQ(numbers, (Numbers{1, 2}));
}

}  // namespace
}  // namespace isotrope

#include "isotrope/text/models/bpe_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "isotrope/base/random.h"
#include "isotrope/text/pipeline.h"
#include "tests/text/golden_files.h"
#include "tests/text/random_text.h"

namespace isotrope {
namespace {

using Ids = std::vector<TokenId>;

BpeModel::Parts small_parts(const char* name = "gpt2.tokenizer.json") {
  return bpe_parts(dynamic_cast<const PipelineTokenizer&>(*load_tokenizer(tests::golden_path(name))).definition());
}

Ids by_heap(const BpeModel& model, std::string_view word) {
  Ids ids;
  model.merge_by_heap(word, ids);
  return ids;
}

/// A word of letters that merge often.
std::string random_short_word(RandomStream& random, std::size_t longest) {
  std::string word;
  for (auto size = 1 + random.below(longest); size > 0; --size) word += " etahinrdsow"[random.below(12)];
  return word;
}

TEST(BpeModel, RememberedWordsAreWhatMergingGives) {
  const BpeModel model(small_parts());
  BpeModel::Worker worker(model);
  RandomStream random(1, "test");
  std::vector<std::string> words;
  for (const std::size_t longest : {3, 8, 15, 17, 64, 70, 300})
    for (int i = 0; i < 6000; ++i) words.push_back(random_short_word(random, longest));
  // The ring of long words is overwritten several times; half of the words come twice in a row, all of them twice far apart.
  for (int round = 0; round < 2; ++round)
    for (std::size_t i = 0; i < words.size(); ++i)
      for (int twice = 0; twice < 1 + static_cast<int>(i % 2); ++twice) {
        Ids ids{7};
        worker.encode_word(words[i], ids);
        auto expected = by_heap(model, words[i]);
        expected.insert(expected.begin(), 7);
        ASSERT_EQ(ids, expected) << words[i];
      }
}

TEST(BpeModel, TextInBatchesIsWordAfterWord) {
  for (const char* name : {"gpt2.tokenizer.json", "llama3.tokenizer.json"}) {
    const BpeModel model(small_parts(name));
    RandomStream random(2, "test");
    for (int round = 0; round < 40; ++round) {
      auto text = tests::random_text(random, random.below(20000));
      if (round % 4 == 0) text += random_short_word(random, 6000) + random_short_word(random, 300) + " end";
      for (const auto pattern : {Pattern::gpt2, Pattern::llama3, Pattern::qwen2, Pattern::cl100k, Pattern::o200k}) {
        Ids ids, expected;
        BpeModel::Worker(model).encode(pattern, text, ids);
        for (std::size_t position = 0; position < text.size();) {
          const auto size = next_piece(pattern, UnicodeTable::instance(), text, position);
          model.merge_by_heap(std::string_view(text).substr(position, size), expected);
          position += size;
        }
        ASSERT_EQ(ids, expected) << "round " << round;
      }
    }
  }
}

TEST(BpeModel, IdsNeedNotAscendWithTheMerges) {
  const auto parts = small_parts();
  auto shuffled = parts;
  std::vector<TokenId> renamed(parts.words.size() + 300);
  std::iota(renamed.begin(), renamed.end(), 0);
  RandomStream random(3, "test");
  for (std::size_t i = renamed.size() - 1; i > 0; --i) std::swap(renamed[i], renamed[random.below(i + 1)]);
  const auto rename = [&](TokenId& id) { id = renamed[static_cast<std::size_t>(id)]; };
  for (auto& id : shuffled.byte_ids) rename(id);
  for (auto& merge : shuffled.merges) rename(merge.left), rename(merge.right), rename(merge.result);
  for (auto& word : shuffled.words) rename(word.second);
  const BpeModel model(parts), other(shuffled);
  BpeModel::Worker worker(model), other_worker(other);
  for (int i = 0; i < 5000; ++i) {
    const auto word = random_short_word(random, 40);
    Ids ids, other_ids;
    worker.encode_word(word, ids);
    other_worker.encode_word(word, other_ids);
    for (auto& id : ids) rename(id);
    ASSERT_EQ(other_ids, ids) << word;
  }
}

TEST(BpeModel, ATokenThatMergingNeverGivesIsNoWord) {
  // "ab" and "bc" merge in this order, so "abc" = "a" + "bc" never comes about, though the vocabulary has it.
  BpeModel::Parts parts;
  std::iota(parts.byte_ids.begin(), parts.byte_ids.end(), 0);
  for (int byte = 0; byte < 256; ++byte) parts.words.emplace_back(std::string(1, static_cast<char>(byte)), byte);
  parts.words.insert(parts.words.end(),
                     {{"ab", 256}, {"bc", 257}, {"abc", 258}, {std::string(300, 'x'), 259}, {std::string(40, 'y'), 260}});
  parts.merges = {{'a', 'b', 256}, {'b', 'c', 257}, {'a', 257, 258}};
  const auto encode = [&](std::string_view word) {
    Ids ids;
    const BpeModel model(parts);
    BpeModel::Worker(model).encode_word(word, ids);
    return ids;
  };
  EXPECT_EQ(encode("abc"), (Ids{256, 'c'}));
  EXPECT_EQ(encode(std::string(40, 'y')), Ids(40, 'y'));
  parts.ignore_merges = true;
  EXPECT_EQ(encode("abc"), Ids{258});
  EXPECT_EQ(encode(std::string(40, 'y')), Ids{260});
  EXPECT_EQ(encode(std::string(300, 'x')), Ids{259});
}

}  // namespace
}  // namespace isotrope

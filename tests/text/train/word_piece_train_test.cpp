#include "isotrope/text/train/word_piece_train.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "isotrope/base/error.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using nlohmann::json;
using tests::golden;
using tests::golden_path;

std::string corpus() { return read_file(golden_path("corpus.txt"), "test"); }

std::string names_of(const Tokenizer& tokenizer) {
  auto lines = vocabulary_lines(tokenizer);
  std::ranges::replace(lines, '\n', ' ');
  lines.pop_back();
  return lines;
}

TEST(WordPieceTraining, FindsTheVocabularyOfTheOracle) {
  for (const auto& entry : golden("word_piece_training.json")) {
    SCOPED_TRACE(entry["vocab_size"]);
    WordPieceTrainOptions options{.vocab_size = entry["vocab_size"],
                                  .min_frequency = entry["min_frequency"],
                                  .lowercase = entry["lowercase"],
                                  .alphabet_limit = entry["alphabet_limit"]};
    if (!entry["strip_accents"].is_null()) options.strip_accents = entry["strip_accents"].get<bool>();
    WordPieceTrainer trainer(options);
    trainer.add(corpus());
    EXPECT_EQ(names_of(*trainer.train()), entry["vocabulary"].get<std::string>());
  }
}

TEST(WordPieceTraining, CountsTheSameInPartsAsInOneGo) {
  const auto text = corpus();
  std::string large;
  WordPieceTrainer whole({.vocab_size = 500, .threads = 3}), parts({.vocab_size = 500});
  for (int i = 0; i < 12; ++i) large += text, parts.add(text);
  whole.add(large);
  EXPECT_EQ(whole.train()->fingerprint(), parts.train()->fingerprint());
}

TEST(WordPieceTraining, WhatItSavesIsLoadedAndEncodesTheSame) {
  WordPieceTrainer trainer({.vocab_size = 500});
  trainer.add(corpus());
  const auto trained = trainer.train();
  const test::TemporaryFolder folder, lines_alone;
  trained->save(folder.path());
  write_file(lines_alone.path() / "vocab.txt", vocabulary_lines(*trained), "test");
  const std::string text = "The naïve river [MASK] opened, 中 and never 123 closed.";
  for (const auto& path : {folder.path(), lines_alone.path()}) {
    const auto loaded = load_tokenizer(path);
    EXPECT_EQ(loaded->encode(text), trained->encode(text));
    EXPECT_EQ(loaded->mask(), 4);
    EXPECT_EQ(loaded->pad(), 0);
    EXPECT_EQ(loaded->encode(text).front(), 2);
    EXPECT_EQ(loaded->encode(text).back(), 3);
  }
}

TEST(WordPieceTraining, ACharacterBeyondTheLimitHasNoToken) {
  WordPieceTrainer trainer({.vocab_size = 40, .alphabet_limit = 3, .special_tokens = {"[UNK]"}});
  trainer.add("aaaa bbb cc dd xa xa");  // c and d and x are seen twice each: c, the smallest, stays
  EXPECT_EQ(names_of(*trainer.train()).substr(0, 18), "[UNK] a b c ##a ##");
}

TEST(WordPieceTraining, RefusesWhatCannotBeTrained) {
  EXPECT_THROW(WordPieceTrainer({.special_tokens = {"[CLS]", "[SEP]"}}), UsageError);  // no [UNK]
  EXPECT_THROW(WordPieceTrainer({.special_tokens = {"[UNK]", "[UNK]"}}), UsageError);
  EXPECT_THROW(WordPieceTrainer({.special_tokens = {"[UNK]", ""}}), UsageError);
  EXPECT_THROW(WordPieceTrainer({.vocab_size = 5}), UsageError);
  WordPieceTrainer empty({}), small({.vocab_size = 10});
  empty.add(" \n\x01 ");
  EXPECT_THROW(empty.train(), InputError);
  small.add("abcdef");
  EXPECT_THROW(small.train(), UsageError);
  EXPECT_THROW(vocabulary_lines(*byte_tokenizer()), UsageError);
}

TEST(WordPieceTraining, BrokenBytesBecomeReplacementsThatAreDropped) {
  WordPieceTrainer broken({.vocab_size = 60}), clean({.vocab_size = 60});
  broken.add("ab\xFF ab ab");
  clean.add("ab ab ab");
  EXPECT_EQ(names_of(*broken.train()), names_of(*clean.train()));
}

}  // namespace
}  // namespace isotrope

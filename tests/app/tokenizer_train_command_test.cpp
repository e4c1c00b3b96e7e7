// `isotrope tokenizer train` as a user meets it: what it writes, what it says, what it refuses.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "isotrope/text/tokenizer.h"
#include "tests/app/tokenizer_program.h"

namespace isotrope {
namespace {

using test::corpus;

test::ProgramResult train(const std::string& arguments) { return test::run_program("tokenizer train --file " + corpus + " " + arguments); }

TEST(TokenizerTrainCommand, WordPieceWritesWhatBothKindsOfReadersLoad) {
  const test::TemporaryFolder folder;
  const auto model = (folder.path() / "model").string();
  const auto result = train("--model wordpiece --vocab-size 500 --json -o " + model);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out)["vocab"], 500);
  const auto whole = load_tokenizer(model), lines = load_tokenizer(folder.path() / "model" / "vocab.txt");
  EXPECT_EQ(whole->encode("The river [MASK], 123"), lines->encode("The river [MASK], 123"));
  EXPECT_EQ(whole->encode("THE RIVER"), whole->encode("the river"));
  const auto config = nlohmann::json::parse(read_file(folder.path() / "model" / "tokenizer_config.json", "test"));
  EXPECT_EQ(config["do_lower_case"], true);
  EXPECT_EQ(config["mask_token"], "[MASK]");
}

TEST(TokenizerTrainCommand, WordPiecesOptionsDecideAboutCaseAndAccents) {
  const test::TemporaryFolder folder;
  const auto encode = [&](const std::string& options, const char* text) {
    const auto model = (folder.path() / "model").string();
    EXPECT_EQ(train("--model wordpiece --vocab-size 800 " + options + " -o " + model).code, 0);
    return load_tokenizer(model)->encode(text);
  };
  EXPECT_NE(encode("--keep-case", "The"), encode("--keep-case", "the"));
  EXPECT_EQ(encode("", "e\u0301t\u00E9"), encode("", "ete"));
  EXPECT_NE(encode("--strip-accents no", "\u00E9"), encode("--strip-accents no", "e"));
  EXPECT_EQ(encode("--keep-case --strip-accents yes", "\u00E9"), encode("--keep-case --strip-accents yes", "e"));
  EXPECT_EQ(encode("--special '[UNK]' '[NEW]'", "[NEW]"), std::vector<TokenId>{1});
}

TEST(TokenizerTrainCommand, BpeTakesItsOwnOptions) {
  const test::TemporaryFolder folder;
  const auto model = (folder.path() / "model").string();
  ASSERT_EQ(train("--pattern qwen2 --max-token-length 4 --vocab-size 600 -o " + model).code, 0);
  const auto tokenizer = load_tokenizer(model);
  for (TokenId id = 1; id < static_cast<TokenId>(tokenizer->vocab_size()); ++id) EXPECT_LT(tokenizer->token_bytes(id).size(), 4u) << id;
  EXPECT_EQ(tokenizer->encode("1234").size(), 4u);
}

TEST(TokenizerTrainCommand, OptionsOfTheOtherModelAreRefusedByName) {
  const auto expect_refused = [](const std::string& options, const std::string& message) {
    const auto result = train(options + " -o /tmp/never");
    EXPECT_EQ(result.code, 2) << options;
    EXPECT_NE(result.err.find(message), std::string::npos) << result.err;
  };
  expect_refused("--keep-case", "--keep-case is of --model wordpiece alone");
  expect_refused("--alphabet-limit 5", "--alphabet-limit is of --model wordpiece alone");
  expect_refused("--model wordpiece --pattern llama3", "--pattern is of --model bpe alone");
  expect_refused("--model wordpiece --max-token-length 5", "--max-token-length is of --model bpe alone");
  expect_refused("--model wordpiece --special '[CLS]'", "[UNK]");
  expect_refused("--model wordpiece --vocab-size 10", "no room for the text's characters: expected ");
  expect_refused("--model unigram", "unigram");
  expect_refused("--pattern gpt5", "gpt5");
}

}  // namespace
}  // namespace isotrope

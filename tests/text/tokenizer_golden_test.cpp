// Ids and text against Hugging Face tokenizers: tools/oracles/tokenizer_goldens.py made the files.
#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/base/sha256.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/text/train/bpe_train.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using Ids = std::vector<TokenId>;
using tests::golden;
using tests::golden_path;

class TokenizerGolden : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerGolden, IdsEqualTheOraclesAndDecodeToTheText) {
  const std::string model = GetParam();
  const auto tokenizer = load_tokenizer(golden_path(model + ".tokenizer.json"));
  const auto texts = golden("texts.json");
  for (const auto& entry : texts["texts"]) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    const auto text = entry["text"].get<std::string>();
    EXPECT_EQ(tokenizer->encode(text), entry[model].get<Ids>());
    const auto plain = tokenizer->encode(text, {.add_special_tokens = false});
    EXPECT_EQ(plain, entry[model + "_plain"].get<Ids>());
    EXPECT_EQ(tokenizer->decode(plain), text);
    const auto unparsed = entry.contains(model + "_unparsed") ? entry[model + "_unparsed"] : entry[model + "_plain"];
    EXPECT_EQ(tokenizer->encode(text, {.add_special_tokens = false, .parse_special_tokens = false}), unparsed.get<Ids>());
  }
}

TEST_P(TokenizerGolden, TrainingGivesTheMergesOfTheOracle) {
  const std::string model = GetParam();
  const auto expected = golden(model + ".tokenizer.json");
  for (const int threads : {1, 3}) {
    BpeTrainer trainer({.vocab_size = 700,
                        .pattern = model == "gpt2" ? Pattern::gpt2 : Pattern::llama3,
                        .special_tokens = {"<|endoftext|>", "<|user|>"},
                        .threads = threads});
    const auto corpus = read_file(golden_path("corpus.txt"), "test");
    trainer.add(corpus);
    const auto trained = trainer.train();
    const auto written = nlohmann::json::parse(write_tokenizer_json(dynamic_cast<const PipelineTokenizer&>(*trained).definition()));
    EXPECT_EQ(written["model"], expected["model"]);
    EXPECT_EQ(written["added_tokens"], expected["added_tokens"]);
    EXPECT_EQ(written["pre_tokenizer"], expected["pre_tokenizer"]);
  }
}

INSTANTIATE_TEST_SUITE_P(Patterns, TokenizerGolden, testing::Values("gpt2", "llama3"));

TEST(TokenizerGoldens, AddedTokensAreFoundWithAllTheirOptions) {
  const auto tokenizer = load_tokenizer(golden_path("added.tokenizer.json"));
  const auto file = golden("added.json");
  for (const auto& entry : file["texts"]) {
    SCOPED_TRACE(entry["text"].get<std::string>());
    EXPECT_EQ(tokenizer->encode(entry["text"].get<std::string>()), entry["ids"].get<Ids>());
  }
}

TEST(TokenizerGoldens, OtherPreTokenizersCutAsTheOracleDoes) {
  auto description = golden("gpt2.tokenizer.json");
  const auto texts = golden("texts.json"), cases = golden("pre_tokenizers.json");
  for (const auto& variant : cases["cases"]) {
    description["pre_tokenizer"] = variant["pre_tokenizer"];
    const auto tokenizer = parse_tokenizer(description.dump());
    for (const auto& entry : texts["texts"]) {
      const auto name = entry["name"].get<std::string>();
      if (!variant["ids"].contains(name)) continue;
      SCOPED_TRACE(variant["name"].get<std::string>() + ": " + name);
      EXPECT_EQ(tokenizer->encode(entry["text"].get<std::string>()), variant["ids"][name].get<Ids>());
    }
  }
}

TEST(TokenizerGoldens, CutAndBrokenCharactersDecodeAsTheOracleDoes) {
  const auto tokenizer = load_tokenizer(golden_path("gpt2.tokenizer.json"));
  const auto file = golden("decode.json");
  for (const auto& entry : file["cases"]) {
    const auto ids = entry["ids"].get<Ids>();
    EXPECT_EQ(tokenizer->decode(ids), entry["text"].get<std::string>());
    EXPECT_EQ(tokenizer->decode(ids, {.skip_special_tokens = true}), entry["skipped"].get<std::string>());
    StreamDecoder stream(*tokenizer);
    std::string streamed;
    for (const auto id : ids) streamed += stream.push(id);
    EXPECT_EQ(streamed + stream.finish(), entry["text"].get<std::string>());
  }
}

TEST(TokenizerGoldens, TheByteTokenizersFileIsTheOneThatTheOracleReads) {
  const auto& bytes = dynamic_cast<const PipelineTokenizer&>(*byte_tokenizer());
  EXPECT_EQ(write_tokenizer_json(bytes.definition()), read_file(golden_path("bytes.tokenizer.json"), "test"));
}

TEST(TokenizerExternalSlow, Gpt2IdsEqualTheOraclesOnBooksAndFortyFourLanguages) {
  const auto data = tests::data_folder();
  if (data.empty()) GTEST_SKIP() << "ISOTROPE_DATA is not set";
  const auto tokenizer = load_tokenizer(data / "tokenizers/gpt2");
  const auto external = golden("external.json");
  for (const auto& entry : external["gpt2"]) {
    SCOPED_TRACE(entry["file"].get<std::string>());
    const auto file = read_file(data / entry["file"].get<std::string>(), "test");
    const auto text = std::string_view(file).substr(0, entry["bytes"].get<std::size_t>());
    const auto ids = tokenizer->encode(text);
    EXPECT_EQ(ids.size(), entry["tokens"]);
    EXPECT_EQ(sha256_hex({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(TokenId)}), entry["sha256"]);
    EXPECT_EQ(tokenizer->encode_parallel(text, 3), ids);
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
}

TEST(TokenizerExternalSlow, TrainingOnShakespeareGivesTheMergesOfTheOracle) {
  const auto data = tests::data_folder();
  if (data.empty()) GTEST_SKIP() << "ISOTROPE_DATA is not set";
  const auto external = golden("external.json");
  for (const auto& entry : external["trained"]) {
    SCOPED_TRACE(entry["pattern"].get<std::string>());
    BpeTrainer trainer({.vocab_size = entry["vocab_size"],
                        .pattern = entry["pattern"] == "gpt2" ? Pattern::gpt2 : Pattern::llama3,
                        .special_tokens = {"<|endoftext|>"},
                        .threads = 2});
    trainer.add(read_file(data / entry["file"].get<std::string>(), "test"));
    const auto trained = trainer.train();
    const auto& definition = dynamic_cast<const PipelineTokenizer&>(*trained).definition();
    std::string merges;
    for (const auto& merge : std::get<BpeDefinition>(definition.model).merges)
      merges += definition.names[merge.left] + " " + definition.names[merge.right] + "\n";
    EXPECT_EQ(std::get<BpeDefinition>(definition.model).merges.size(), entry["merges"]);
    EXPECT_EQ(sha256_hex(merges), entry["sha256"]);
  }
}

}  // namespace
}  // namespace isotrope

#include "isotrope/text/files/piece_vocabulary.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "isotrope/text/pipeline.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "tests/io/temporary_folder.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using test::message_of;
using test::TemporaryFolder;

/// A GGUF file in which nothing but the vocabulary stands.
fs::path write_vocabulary(const TemporaryFolder& folder, const GgufMetadata& metadata) {
  write_gguf(folder / "v.gguf", metadata, {}, {});
  return folder / "v.gguf";
}

/// <e> and <u> before the 256 bytes, then "ab" and "abc".
GgufMetadata small_vocabulary() {
  std::vector<std::string> pieces{"<e>", "<u>"};
  std::vector<std::int32_t> kinds{3, 4};
  for (int byte = 0; byte < 256; ++byte) pieces.push_back(spell_bytes(std::string(1, static_cast<char>(byte)))), kinds.push_back(1);
  for (const auto* piece : {"ab", "abc"}) pieces.emplace_back(piece), kinds.push_back(1);
  return {{"tokenizer.ggml.model", std::string("gpt2")},
          {"tokenizer.ggml.pre", std::string("gpt-2")},
          {"tokenizer.ggml.tokens", GgufArray{pieces}},
          {"tokenizer.ggml.token_type", GgufArray{kinds}},
          {"tokenizer.ggml.merges", GgufArray{std::vector<std::string>{"a b", "ab c"}}},
          {"tokenizer.ggml.eos_token_id", std::uint32_t{0}}};
}

GgufMetadata with(GgufMetadata metadata, const std::string& key, GgufValue value) {
  std::erase_if(metadata, [&](const auto& entry) { return entry.first == key; });
  metadata.emplace_back(key, std::move(value));
  return metadata;
}

std::string refusal(const GgufMetadata& metadata) {
  const TemporaryFolder folder;
  const auto path = write_vocabulary(folder, metadata);
  auto message = message_of([&] { load_tokenizer(path); });
  const auto at = message.find(path.string());
  return at == std::string::npos ? message : message.replace(at, path.string().size(), "v.gguf");
}

TEST(PieceVocabulary, BytePiecesMergeAndControlPiecesAreRecognised) {
  const TemporaryFolder folder;
  const auto tokenizer = load_tokenizer(write_vocabulary(folder, small_vocabulary()));
  EXPECT_EQ(tokenizer->vocab_size(), 260u);
  EXPECT_EQ(tokenizer->encode("abc<e>ab<u>"), (std::vector<TokenId>{259, 0, 258, 1}));
  EXPECT_EQ(tokenizer->encode("<e>", {.parse_special_tokens = false}).size(), 3u);
  EXPECT_TRUE(tokenizer->is_special(0));
  EXPECT_FALSE(tokenizer->is_special(1));
  EXPECT_EQ(tokenizer->eos(), 0);
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
}

TEST(PieceVocabulary, BosAndEosStandWhereTheFileAsksForThem) {
  const TemporaryFolder folder;
  auto metadata = with(small_vocabulary(), "tokenizer.ggml.bos_token_id", std::uint32_t{1});
  const auto ids = [&] { return load_tokenizer(write_vocabulary(folder, metadata))->encode("ab"); };
  EXPECT_EQ(ids(), (std::vector<TokenId>{258}));
  metadata = with(metadata, "tokenizer.ggml.add_bos_token", true);
  EXPECT_EQ(ids(), (std::vector<TokenId>{1, 258}));
  metadata = with(metadata, "tokenizer.ggml.add_eos_token", true);
  EXPECT_EQ(ids(), (std::vector<TokenId>{1, 258, 0}));
  // Llama 3's pre-tokenizer asks for BOS where the file does not speak of it.
  metadata =
      with(with(small_vocabulary(), "tokenizer.ggml.bos_token_id", std::uint32_t{1}), "tokenizer.ggml.pre", std::string("llama-bpe"));
  EXPECT_EQ(ids(), (std::vector<TokenId>{1, 258}));
  metadata = with(metadata, "tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(ids(), (std::vector<TokenId>{258}));
}

TEST(PieceVocabulary, SmollmTakesDigitsApartBeforeAnythingElse) {
  const TemporaryFolder folder;
  auto pieces = std::get<std::vector<std::string>>(std::get<GgufArray>(small_vocabulary()[2].second).elements);
  pieces.push_back("12");
  auto metadata = with(small_vocabulary(), "tokenizer.ggml.tokens", GgufArray{pieces});
  auto kinds = std::get<std::vector<std::int32_t>>(std::get<GgufArray>(small_vocabulary()[3].second).elements);
  kinds.push_back(1);
  metadata = with(metadata, "tokenizer.ggml.token_type", GgufArray{kinds});
  metadata = with(metadata, "tokenizer.ggml.merges", GgufArray{std::vector<std::string>{"1 2"}});
  EXPECT_EQ(load_tokenizer(write_vocabulary(folder, metadata))->encode("12").size(), 1u);
  metadata = with(metadata, "tokenizer.ggml.pre", std::string("smollm"));
  EXPECT_EQ(load_tokenizer(write_vocabulary(folder, metadata))->encode("12").size(), 2u);
}

TEST(PieceVocabulary, AnEmptyListOfMergesMakesEveryByteAToken) {
  const TemporaryFolder folder;
  const auto metadata = with(small_vocabulary(), "tokenizer.ggml.merges", GgufArray{std::vector<std::string>{}});
  EXPECT_EQ(load_tokenizer(write_vocabulary(folder, metadata))->encode("abc").size(), 3u);
}

TEST(PieceVocabulary, TheChatTemplateIsSavedWithTheTokenizer) {
  const TemporaryFolder folder;
  load_tokenizer(write_vocabulary(folder, with(small_vocabulary(), "tokenizer.chat_template", std::string("{{ x }}"))))
      ->save(folder.path());
  const auto config = nlohmann::json::parse(test::slurp(folder / "tokenizer_config.json"));
  EXPECT_EQ(config["chat_template"], "{{ x }}");
  EXPECT_EQ(config["eos_token"], "<e>");
}

TEST(PieceVocabulary, RefusesWhatContradictsItself) {
  using Texts = std::vector<std::string>;
  const auto v = small_vocabulary();
  EXPECT_EQ(refusal({}), "[tokenizer] v.gguf: holds no vocabulary (tokenizer.ggml.model, tokenizer.ggml.tokens)");
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.model", std::string("rwkv"))),
            "[tokenizer] v.gguf: a vocabulary of kind \"rwkv\" is not supported (gpt2, llama, bert)");
  EXPECT_NE(
      refusal(with(v, "tokenizer.ggml.pre", std::string("klingon"))).find("tokenizer.ggml.pre \"klingon\" is not supported (known: gpt-2,"),
      std::string::npos);
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.token_type", GgufArray{std::vector<std::int32_t>{1, 1}})),
            "[tokenizer] v.gguf: 260 tokens, but 2 kinds of them");
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.token_type", GgufArray{std::vector<std::int32_t>(260, 9)})),
            "[tokenizer] v.gguf: tokenizer.ggml.token_type: 9 is no kind of token");
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.scores", GgufArray{std::vector<float>{1}})), "[tokenizer] v.gguf: 260 tokens, but 1 scores");
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.scores", true)),
            "[tokenizer] v.gguf: tokenizer.ggml.scores: expected an array of 32-bit floats");
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.bos_token_id", std::uint32_t{260})),
            "[tokenizer] v.gguf: tokenizer.ggml.bos_token_id is 260, the vocabulary has 260 tokens");
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.add_bos_token", true)),
            "[tokenizer] v.gguf: tokenizer.ggml.add_bos_token is true, but there is no tokenizer.ggml.bos_token_id");
  auto without_merges = v;
  std::erase_if(without_merges, [](const auto& entry) { return entry.first == "tokenizer.ggml.merges"; });
  EXPECT_EQ(refusal(without_merges), "[tokenizer] v.gguf: the vocabulary of kind gpt2 has no merges (tokenizer.ggml.merges)");
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.merges", GgufArray{Texts{"a zz"}})),
            "[tokenizer] v.gguf: merge 0 has the token \"zz\", which the vocabulary lacks");
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.merges", GgufArray{Texts{"a \xff"}})), "[tokenizer] v.gguf: merge 0 is not UTF-8");
  auto twice = std::get<Texts>(std::get<GgufArray>(v[2].second).elements);
  twice[259] = "ab";
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.tokens", GgufArray{twice})), "[tokenizer] v.gguf: tokens 258 and 259 are both \"ab\"");
  twice[259] = "\xc3(";
  EXPECT_EQ(refusal(with(v, "tokenizer.ggml.tokens", GgufArray{twice})), "[tokenizer] v.gguf: token 259 is not UTF-8");
}

TEST(PieceVocabulary, WhatIsWrittenGivesTheSameIds) {
  const TemporaryFolder folder;
  const auto texts = tests::golden("texts.json");
  for (const auto* name : {"gpt2.tokenizer.json", "llama3.tokenizer.json"}) {
    const auto original = load_tokenizer(tests::golden_path(name));
    const auto copy = load_tokenizer(write_vocabulary(folder, vocabulary_metadata(definition_of(*original), original->vocab_size() + 3)));
    EXPECT_EQ(copy->vocab_size(), original->vocab_size() + 3);
    EXPECT_EQ(copy->bos(), original->bos());
    EXPECT_EQ(copy->eos(), original->eos());
    for (const auto& entry : texts["texts"]) {
      const auto text = entry["text"].get<std::string>();
      EXPECT_EQ(copy->encode(text), original->encode(text)) << name << ' ' << entry["name"];
    }
  }
  EXPECT_NE(message_of([] { vocabulary_metadata(definition_of(*byte_tokenizer()), 257); }).find("GGUF has no name for this pre-tokenizer"),
            std::string::npos);
}

/// <unk>, <s>, </s>, the 256 bytes, then "a", "b", "▁", "ab", "▁a" with scores that let "▁a" go first.
GgufMetadata scored_vocabulary() {
  std::vector<std::string> pieces{"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> kinds{2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) pieces.push_back(fmt::format("<0x{:02X}>", byte)), kinds.push_back(6);
  for (const auto* piece : {"a", "b", "\u2581", "ab", "\u2581a"}) pieces.emplace_back(piece), kinds.push_back(1);
  std::vector<float> scores(pieces.size(), 0.0f);
  scores[262] = -2, scores[263] = -1;
  return {{"tokenizer.ggml.model", std::string("llama")},    {"tokenizer.ggml.tokens", GgufArray{pieces}},
          {"tokenizer.ggml.token_type", GgufArray{kinds}},   {"tokenizer.ggml.scores", GgufArray{scores}},
          {"tokenizer.ggml.bos_token_id", std::uint32_t{1}}, {"tokenizer.ggml.eos_token_id", std::uint32_t{2}}};
}

TEST(PieceVocabulary, PiecesWithScoresMergeByThemAndFallBackToBytes) {
  const TemporaryFolder folder;
  const auto ids = [&](const GgufMetadata& metadata, const char* text) {
    return load_tokenizer(write_vocabulary(folder, metadata))->encode(text);
  };
  const auto v = scored_vocabulary();
  EXPECT_EQ(ids(v, "ab"), (std::vector<TokenId>{1, 263, 260}));
  EXPECT_EQ(ids(v, "bab!"), (std::vector<TokenId>{1, 261, 260, 262, 3 + '!'}));
  EXPECT_EQ(ids(with(v, "tokenizer.ggml.add_space_prefix", false), "ab"), (std::vector<TokenId>{1, 262}));
  EXPECT_EQ(ids(with(v, "tokenizer.ggml.add_bos_token", false), "ab"), (std::vector<TokenId>{263, 260}));
  EXPECT_EQ(ids(with(v, "tokenizer.ggml.add_eos_token", true), "ab"), (std::vector<TokenId>{1, 263, 260, 2}));
  const auto tokenizer = load_tokenizer(write_vocabulary(folder, v));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("ab !"), {.skip_special_tokens = true}), "ab !");
  auto without_scores = v;
  std::erase_if(without_scores, [](const auto& entry) { return entry.first == "tokenizer.ggml.scores"; });
  EXPECT_EQ(refusal(without_scores), "[tokenizer] v.gguf: the vocabulary of kind llama has no scores (tokenizer.ggml.scores)");
}

TEST(PieceVocabulary, LlamaAndGpt2OfLlamaCppEncodeAsTheTokenizersThatTheyCameFrom) {
  const auto* data = std::getenv("ISOTROPE_DATA");
  if (!data) GTEST_SKIP() << "ISOTROPE_DATA is not set";
  const fs::path tokenizers = fs::path(data) / "tokenizers";
  const auto texts = tests::golden("texts.json");
  for (const auto& [gguf, original] :
       {std::pair{"gguf/ggml-vocab-llama-spm.gguf", "llama2/tokenizer.model"}, {"gguf/ggml-vocab-gpt-2.gguf", "gpt2/tokenizer.json"}}) {
    const auto ours = load_tokenizer(tokenizers / gguf), other = load_tokenizer(tokenizers / original);
    for (const auto& entry : texts["texts"]) {
      const auto text = entry["text"].get<std::string>();
      EXPECT_EQ(ours->encode(text), other->encode(text)) << gguf << ' ' << entry["name"];
    }
  }
}

TEST(PieceVocabulary, TheVocabularyOfLlama2cIsFoundBesideItsModel) {
  const TemporaryFolder folder;
  test::put(folder / "model.bin", "x");
  EXPECT_NE(message_of([&] { load_tokenizer(folder / "model.bin"); }).find("no vocabulary beside it"), std::string::npos);
  test::put(folder / "tok6.bin", "x");
  EXPECT_NE(message_of([&] { load_tokenizer(folder / "model.bin"); }).find("tok6.bin: not a vocabulary of llama2.c"), std::string::npos);
  test::put(folder / "tok7.bin", "x");
  EXPECT_NE(message_of([&] { load_tokenizer(folder / "model.bin"); }).find("no vocabulary beside it"), std::string::npos);
}

}  // namespace
}  // namespace isotrope

// WordPiece and BPE over characters against Hugging Face tokenizers: tools/oracles/tokenizer_kinds_goldens.py made the files.
#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "isotrope/base/error.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/tokenizer.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;
using tests::golden;
using tests::golden_path;

void expect_case(const Tokenizer& tokenizer, const json& entry, const std::string& text) {
  const auto ids = tokenizer.encode(text);
  EXPECT_EQ(ids, entry["ids"].get<Ids>());
  EXPECT_EQ(tokenizer.encode_parallel(text, 3), ids);
  EXPECT_EQ(tokenizer.encode_typed(text).ids, ids);
  EXPECT_EQ(tokenizer.decode(ids), entry["decoded"].get<std::string>());
  EXPECT_EQ(tokenizer.decode(ids, {.skip_special_tokens = true}), entry["skipped"].get<std::string>());
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip) {
  StreamDecoder stream(tokenizer, {.skip_special_tokens = skip});
  std::string text;
  for (const auto id : ids) text += stream.push(id);
  return text + stream.finish();
}

class TokenizerKinds : public testing::TestWithParam<std::string> {};

TEST_P(TokenizerKinds, IdsAndTextEqualTheOracles) {
  const auto tokenizer = load_tokenizer(golden_path(GetParam() + ".tokenizer.json"));
  const auto file = golden(GetParam() + ".json");
  for (const auto& entry : file["texts"]) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    expect_case(*tokenizer, entry, entry["text"].get<std::string>());
    EXPECT_EQ(streamed(*tokenizer, entry["ids"].get<Ids>(), false), entry["decoded"].get<std::string>());
    EXPECT_EQ(streamed(*tokenizer, entry["ids"].get<Ids>(), true), entry["skipped"].get<std::string>());
  }
}

TEST_P(TokenizerKinds, EveryVariantGivesTheOraclesIds) {
  const auto base = golden(GetParam() + ".tokenizer.json"), file = golden(GetParam() + ".json");
  std::map<std::string, std::string> texts;
  for (const auto& entry : file["texts"]) texts[entry["name"]] = entry["text"];
  for (const auto& variant : file["variants"]) {
    auto description = base;
    for (const auto& [path, value] : variant["patch"].items()) description[json::json_pointer("/" + path)] = value;
    const auto tokenizer = parse_tokenizer(description.dump());
    for (const auto& entry : variant["texts"]) {
      SCOPED_TRACE(variant["name"].get<std::string>() + ": " + entry["name"].get<std::string>());
      expect_case(*tokenizer, entry, texts.at(entry["name"]));
    }
  }
}

TEST_P(TokenizerKinds, SavedAndLoadedItIsTheSame) {
  const auto base = golden(GetParam() + ".tokenizer.json"), file = golden(GetParam() + ".json");
  std::vector<json> descriptions{base};
  for (const auto& variant : file["variants"]) {
    descriptions.push_back(base);
    for (const auto& [path, value] : variant["patch"].items()) descriptions.back()[json::json_pointer("/" + path)] = value;
  }
  std::vector<std::string> prints;
  for (const auto& description : descriptions) {
    const test::TemporaryFolder folder;
    const auto original = parse_tokenizer(description.dump());
    original->save(folder.path());
    const auto copy = load_tokenizer(folder.path());
    EXPECT_EQ(copy->fingerprint(), original->fingerprint());
    const auto written = json::parse(read_file(folder.path() / "tokenizer.json", "test"));
    for (const char* key : {"truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"})
      EXPECT_EQ(written[key], description[key]) << key;
    for (const char* key : {"vocab", "unk_token", "type"}) EXPECT_EQ(written["model"][key], description["model"][key]) << key;
    if (description["decoder"] == base["decoder"] && description["pre_tokenizer"] == base["pre_tokenizer"])
      prints.push_back(original->fingerprint());
  }
  std::ranges::sort(prints);
  EXPECT_EQ(std::ranges::adjacent_find(prints), prints.end());
}

TEST_P(TokenizerKinds, LongWordsTakeNoTime) {
  const auto tokenizer = load_tokenizer(golden_path(GetParam() + ".tokenizer.json"));
  const auto start = std::chrono::steady_clock::now();
  for (const std::string part : {"a", "the", "\u4E2D", "\u0301", "\u2581", "!", "ab "}) {
    std::string text;
    while (text.size() < 1'000'000) text += part;
    const auto ids = tokenizer->encode(text);
    EXPECT_FALSE(ids.empty());
    EXPECT_FALSE(tokenizer->decode(ids).empty());
  }
  // A second or two here; what is quadratic would take hours. The bound leaves room for sanitizers and busy machines.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerKinds, testing::Values("word_piece", "byte_fallback"));

TEST(TokenizerPairs, IdsTypesAndCutsEqualTheOracles) {
  auto description = golden("word_piece.tokenizer.json");
  const auto file = golden("pairs.json");
  for (const auto& entry : file["cases"]) {
    description["post_processor"] = entry["post_processor"];
    const auto tokenizer = parse_tokenizer(description.dump());
    for (const auto& result : entry["results"]) {
      SCOPED_TRACE(entry["name"].get<std::string>() + ": " + result.dump());
      const auto first = result[0].get<std::string>(), second = result[1].get<std::string>();
      const EncodeOptions options{.add_special_tokens = result[2], .max_length = result[3]};
      const auto both = tokenizer->encode_pair(first, second, options), one = tokenizer->encode_typed(first, options);
      EXPECT_EQ(both.ids, result[4].get<Ids>());
      EXPECT_EQ(both.types, result[5].get<std::vector<std::int32_t>>());
      EXPECT_EQ(one.ids, result[6].get<Ids>());
      EXPECT_EQ(one.types, result[7].get<std::vector<std::int32_t>>());
      EXPECT_EQ(tokenizer->encode(first, options), one.ids);
    }
  }
}

TEST(TokenizerPairs, ALengthWithoutRoomAndAMissingTemplateAreErrors) {
  auto description = golden("word_piece.tokenizer.json");
  EXPECT_THROW(parse_tokenizer(description.dump())->encode_pair("a", "b", {.max_length = 2}), UsageError);
  description["post_processor"].erase("pair");
  EXPECT_THROW(parse_tokenizer(description.dump())->encode_pair("a", "b"), InputError);
}

TEST(WordPieceTokenizer, KnowsItsSpecialTokens) {
  const auto tokenizer = load_tokenizer(golden_path("word_piece.tokenizer.json"));
  EXPECT_EQ(tokenizer->pad(), 0);
  EXPECT_EQ(tokenizer->unk(), 1);
  EXPECT_EQ(tokenizer->cls(), 2);
  EXPECT_EQ(tokenizer->sep(), 3);
  EXPECT_EQ(tokenizer->mask(), 4);
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  EXPECT_EQ(tokenizer->eos(), std::nullopt);
  EXPECT_EQ(tokenizer->document_end(), 3);
  const auto named = parse_tokenizer(golden("word_piece.tokenizer.json").dump(), R"({"eos_token": "[SEP]", "mask_token": null})");
  EXPECT_EQ(named->document_end(), 3);
  EXPECT_EQ(named->mask(), std::nullopt);
}

TEST(WordPieceTokenizer, WordsBeginWhereNoPrefixStands) {
  const auto tokenizer = load_tokenizer(golden_path("word_piece.tokenizer.json"));
  EXPECT_TRUE(tokenizer->is_word_start(*tokenizer->find("the")));
  EXPECT_FALSE(tokenizer->is_word_start(*tokenizer->find("##e")));
  EXPECT_TRUE(tokenizer->is_word_start(*tokenizer->find("[SEP]")));
  EXPECT_EQ(tokenizer->token_bytes(*tokenizer->find("##e")), "e");
  EXPECT_EQ(tokenizer->token_bytes(*tokenizer->find("the")), " the");
  EXPECT_EQ(tokenizer->token_bytes(*tokenizer->find("[SEP]")), "[SEP]");
  const auto gpt2 = load_tokenizer(golden_path("gpt2.tokenizer.json"));
  EXPECT_TRUE(gpt2->is_word_start(*gpt2->find("\u0120the")));
  EXPECT_TRUE(gpt2->is_word_start(*gpt2->find("\u010A")));
  EXPECT_FALSE(gpt2->is_word_start(*gpt2->find("a")));
  const auto fallback = load_tokenizer(golden_path("byte_fallback.tokenizer.json"));
  EXPECT_TRUE(fallback->is_word_start(*fallback->find("\u2581the")));
  EXPECT_TRUE(fallback->is_word_start(*fallback->find("<0x0A>")));
  EXPECT_FALSE(fallback->is_word_start(*fallback->find("<0x41>")));
}

/// vocab.txt of a tokenizer.json.
std::string vocabulary_lines(const json& description) {
  std::map<std::int64_t, std::string> tokens;
  for (const auto& [token, id] : description["model"]["vocab"].items()) tokens[id] = token;
  std::string lines;
  for (const auto& [id, token] : tokens) lines += token + "\n";
  return lines;
}

TEST(WordPieceTokenizer, VocabTxtMeansTheSameAsTokenizerJson) {
  const auto description = golden("word_piece.tokenizer.json"), file = golden("word_piece.json");
  const test::TemporaryFolder folder;
  write_file(folder.path() / "vocab.txt", vocabulary_lines(description), "test");
  for (const auto& path : {folder.path(), folder.path() / "vocab.txt"}) {
    const auto tokenizer = load_tokenizer(path);
    EXPECT_EQ(tokenizer->fingerprint(), parse_tokenizer(description.dump())->fingerprint());
    EXPECT_EQ(tokenizer->mask(), 4);
    for (const auto& entry : file["texts"]) expect_case(*tokenizer, entry, entry["text"]);
  }
  const test::TemporaryFolder copy;
  load_tokenizer(folder.path())->save(copy.path());
  EXPECT_EQ(load_tokenizer(copy.path())->fingerprint(), load_tokenizer(folder.path())->fingerprint());
}

TEST(WordPieceTokenizer, VocabTxtFollowsItsConfig) {
  const auto description = golden("word_piece.tokenizer.json"), file = golden("word_piece.json");
  const std::map<std::string, const char*> configs{{"cased", R"({"do_lower_case": false})"},
                                                   {"accents kept", R"({"strip_accents": false})"},
                                                   {"cased, accents off", R"({"do_lower_case": false, "strip_accents": true})"},
                                                   {"ideographs together", R"({"tokenize_chinese_chars": false})"}};
  std::map<std::string, std::string> texts;
  for (const auto& entry : file["texts"]) texts[entry["name"]] = entry["text"];
  std::size_t found = 0;
  for (const auto& variant : file["variants"]) {
    const auto config = configs.find(variant["name"]);
    if (config == configs.end()) continue;
    ++found;
    const test::TemporaryFolder folder;
    write_file(folder.path() / "vocab.txt", vocabulary_lines(description), "test");
    write_file(folder.path() / "tokenizer_config.json", config->second, "test");
    for (const auto& entry : variant["texts"]) expect_case(*load_tokenizer(folder.path()), entry, texts.at(entry["name"]));
  }
  EXPECT_EQ(found, configs.size());
}

TEST(WordPieceTokenizer, BrokenVocabTxtIsNamed) {
  const auto error_of = [](const std::string& lines, const std::string& config) {
    const test::TemporaryFolder folder;
    write_file(folder.path() / "vocab.txt", lines, "test");
    write_file(folder.path() / "tokenizer_config.json", config, "test");
    try {
      load_tokenizer(folder.path());
    } catch (const InputError& error) {
      return error.message();
    }
    return std::string("no error");
  };
  const std::string good = "[PAD]\n[UNK]\r\n[CLS]\n[SEP]\n[MASK]\na\n##b";
  EXPECT_EQ(error_of(good, "{}"), "no error");
  EXPECT_NE(error_of(good + "\na\n", "{}").find("line 8: the token \"a\" stands on an earlier line too"), std::string::npos);
  EXPECT_NE(error_of("a\n\xFF\n", "{}").find("byte 2 is not UTF-8"), std::string::npos);
  EXPECT_NE(error_of("a\nb\n", "{}").find("the vocabulary lacks the unk_token \"[UNK]\""), std::string::npos);
  EXPECT_NE(error_of("[UNK]\na\n", "{}").find("TemplateProcessing has no ids for \"[CLS]\""), std::string::npos);
  EXPECT_NE(error_of(good, R"({"do_lower_case": 3})").find("do_lower_case: expected true or false"), std::string::npos);
  EXPECT_NE(error_of(good, R"({"added_tokens_decoder": {"x": {"content": "a"}}})").find("expected an id, got \"x\""), std::string::npos);
  EXPECT_EQ(error_of(good, R"({"added_tokens_decoder": {"7": {"content": "<new>", "special": true}}})"), "no error");
}

TEST(Tokenizer, TruncationAndPaddingAreKeptAndNotActedUpon) {
  auto description = golden("word_piece.tokenizer.json");
  const auto expected = parse_tokenizer(description.dump())->encode("the river opens the window");
  description["truncation"] = {{"direction", "Right"}, {"max_length", 4}, {"strategy", "LongestFirst"}, {"stride", 0}};
  description["padding"] = {
      {"strategy", {{"Fixed", 128}}}, {"direction", "Right"}, {"pad_to_multiple_of", nullptr}, {"pad_id", 0}, {"pad_type_id", 0},
      {"pad_token", "[PAD]"}};
  const auto tokenizer = parse_tokenizer(description.dump());
  EXPECT_EQ(tokenizer->encode("the river opens the window"), expected);
  EXPECT_EQ(tokenizer->encode("the river opens the window", {.max_length = 4}).size(), 4u);
  const test::TemporaryFolder folder;
  tokenizer->save(folder.path());
  const auto written = json::parse(read_file(folder.path() / "tokenizer.json", "test"));
  EXPECT_EQ(written["truncation"], description["truncation"]);
  EXPECT_EQ(written["padding"], description["padding"]);
}

}  // namespace
}  // namespace isotrope

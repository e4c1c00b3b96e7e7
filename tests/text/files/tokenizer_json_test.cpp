// What a broken or unsupported tokenizer.json gets: one InputError that names the construct.
#include <gtest/gtest.h>

#include <functional>

#include "isotrope/base/error.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/tokenizer.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using nlohmann::json;
using tests::expect_error;

std::string error_of_json(const std::string& text) {
  return tests::error_of([&] { parse_tokenizer(text); });
}

/// The message after `change` was made to a good file.
std::string error_after(const std::function<void(json&)>& change) {
  auto file = tests::golden("gpt2.tokenizer.json");
  change(file);
  return error_of_json(file.dump());
}

TEST(TokenizerJson, AGoodFileIsRead) {
  EXPECT_EQ(error_after([](json&) {}), "no error");
}

TEST(TokenizerJson, ATruncatedFileIsRefusedAtEveryLength) {
  const auto text = tests::golden("gpt2.tokenizer.json").dump();
  for (std::size_t size = 0; size < text.size(); size += 97) ASSERT_NE(error_of_json(text.substr(0, size)), "no error") << size;
  expect_error(error_of_json(text.substr(0, 500)), "tokenizer.json: not valid JSON: parse error");
}

TEST(TokenizerJson, BytesThatAreNotUtf8AreRefused) { expect_error(error_of_json("{\"model\": \"\xFF\"}"), "not valid JSON"); }

TEST(TokenizerJson, NumbersPastTheRangeAreRefused) {
  expect_error(error_of_json("{\"model\": 7E766}"), "not valid JSON");
}  // found by the fuzzer

TEST(TokenizerJson, DeepNestingIsRefusedBeforeItIsParsed) {
  expect_error(error_of_json(std::string(1'000'000, '[')), "nested more than 64 deep");
  expect_error(error_of_json(R"({"a":)" + std::string(70, '{')), "nested more than 64 deep");
  expect_error(error_of_json("{\"a\": \"" + std::string(100, '[') + "\"}"), "\"model\" is missing");  // brackets in a string are text
}

TEST(TokenizerJson, WrongTypesAreNamed) {
  expect_error(error_of_json("[]"), "the file: expected an object, got array");
  expect_error(error_of_json("{}"), "\"model\" is missing");
  expect_error(error_after([](json& file) { file["model"] = 3; }), "model: expected an object, got number");
  expect_error(error_after([](json& file) { file["model"]["vocab"] = json::array(); }), "model.vocab: expected an object, got array");
  expect_error(error_after([](json& file) { file["model"]["vocab"]["a"] = "x"; }), "model.vocab: a: expected an integer, got string");
  expect_error(error_after([](json& file) { file["model"]["vocab"]["a"] = 1.5; }), "model.vocab: a: expected an integer, got number");
  expect_error(error_after([](json& file) { file["model"]["merges"] = "x"; }), "model.merges: expected an array, got string");
  expect_error(error_after([](json& file) { file["model"]["ignore_merges"] = 1; }), "ignore_merges: expected true or false, got number");
  expect_error(error_after([](json& file) { file["added_tokens"] = 1; }), "added_tokens: expected an array");
  expect_error(error_after([](json& file) { file["added_tokens"][0] = "x"; }), "added_tokens: expected an object, got string");
  expect_error(error_after([](json& file) { file["added_tokens"][0].erase("id"); }), "\"id\" is missing");
  expect_error(error_after([](json& file) { file["added_tokens"][0]["content"] = ""; }), "added token 0 is empty");
  expect_error(error_after([](json& file) { file["pre_tokenizer"] = "ByteLevel"; }), "pre_tokenizer: expected an object, got string");
  expect_error(error_after([](json& file) { file["decoder"].erase("type"); }), "\"type\" is missing");
}

TEST(TokenizerJson, IdsMustBeDistinctAndInRange) {
  expect_error(error_after([](json& file) { file["model"]["vocab"]["a"] = file["model"]["vocab"]["b"]; }),
               "\"a\" and \"b\" have the same id");
  expect_error(error_after([](json& file) { file["model"]["vocab"]["a"] = 270'000; }),
               "has id 270000, but 702 tokens must have ids from 0 to 263547");
  expect_error(error_after([](json& file) { file["model"]["vocab"]["a"] = -1; }), "has id -1");
  expect_error(error_after([](json& file) { file["model"]["vocab"]["a"] = 9'000'000'000'000; }), "has id 9000000000000");
  expect_error(error_after([](json& file) { file["model"]["vocab"]["a"] = 18'000'000'000'000'000'000u; }), "must have ids from 0");
  expect_error(error_after([](json& file) { file["added_tokens"][0]["id"] = 5'000'000'000; }), "has id 5000000000, out of range");
  expect_error(error_after([](json& file) { file["added_tokens"][0]["id"] = 7; }),
               "added token \"<|endoftext|>\" has id 7, and 0 in the vocabulary");
  expect_error(error_after([](json& file) {
                 file["added_tokens"].push_back({{"id", 700}, {"content", "x1"}});
                 file["added_tokens"].push_back({{"id", 700}, {"content", "x2"}});
               }),
               "added token \"x2\" has id 700, where tokenizers gives it 701");
  expect_error(error_after([](json& file) { file["added_tokens"].push_back({{"id", 702}, {"content", "x1"}}); }),
               "added token \"x1\" has id 702, where tokenizers gives it 700, as the vocabulary lacks it");
}

TEST(TokenizerJson, IdsMayBeLeftOut) {
  auto file = tests::golden("gpt2.tokenizer.json");
  const auto expected = parse_tokenizer(file.dump())->encode("The river opens");
  file["model"]["vocab"]["odd one"] = 705;
  file["added_tokens"].push_back({{"id", 701}, {"content", "<new>"}, {"special", true}});  // 701 tokens are in the vocabulary
  const auto tokenizer = parse_tokenizer(file.dump());
  EXPECT_EQ(tokenizer->vocab_size(), 706u);
  EXPECT_EQ(tokenizer->encode("The river opens"), expected);
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{701, 703, 705, 700}), "<new>odd one");
  EXPECT_EQ(tokenizer->find(""), std::nullopt);
  const test::TemporaryFolder folder;
  tokenizer->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), tokenizer->fingerprint());
}

json without_a_token_for_spaces() {
  auto file = tests::golden("gpt2.tokenizer.json");
  auto& vocabulary = file["model"]["vocab"];
  vocabulary["odd"] = vocabulary["Ġ"];
  vocabulary.erase("Ġ");
  file["model"]["merges"] = {"h e"};
  return file;
}

TEST(TokenizerJson, BytesWithoutATokenDropOutAndTheirNeighboursMerge) {  // as HF tokenizers 0.23 has it
  const auto tokenizer = parse_tokenizer(without_a_token_for_spaces().dump());
  EXPECT_EQ(tokenizer->encode(" a b"), (std::vector{*tokenizer->find("a"), *tokenizer->find("b")}));
  EXPECT_EQ(tokenizer->encode("   "), std::vector<TokenId>{});
  auto one_word = without_a_token_for_spaces();
  one_word["pre_tokenizer"]["use_regex"] = false;
  EXPECT_EQ(parse_tokenizer(one_word.dump())->encode("h e"), std::vector<TokenId>{*tokenizer->find("he")});
}

TEST(TokenizerJson, BytesWithoutATokenBecomeTheUnknownOneWhereThereIsOne) {
  auto file = without_a_token_for_spaces();
  file["model"]["unk_token"] = "odd";
  const auto tokenizer = parse_tokenizer(file.dump());
  EXPECT_EQ(tokenizer->encode(" a"), (std::vector{*tokenizer->find("odd"), *tokenizer->find("a")}));
}

TEST(TokenizerJson, BytesThatUtf8NeverHasMayBeAbsent) {  // as in GPT-NeoX's vocabulary
  auto file = tests::golden("gpt2.tokenizer.json");
  const auto expected = parse_tokenizer(file.dump())->encode("The r\u00EDver \U0010FFFF");
  auto& vocabulary = file["model"]["vocab"];
  for (const char* name : {"\u00C0", "\u00C1", "\u00F5", "\u00FF"}) {
    const auto id = vocabulary[name].get<int>();
    vocabulary.erase(name);
    vocabulary["gone " + std::to_string(id)] = id;
  }
  EXPECT_EQ(parse_tokenizer(file.dump())->encode("The r\u00EDver \U0010FFFF"), expected);
}

TEST(TokenizerJson, MergesMustNameTokensOfTheVocabulary) {
  expect_error(error_after([](json& file) { file["model"]["merges"][3] = {"q", "zebra"}; }),
               "merge 3 has the token \"zebra\", which the vocabulary lacks");
  expect_error(error_after([](json& file) { file["model"]["merges"][0] = "q ~"; }), "merge 0 has the token \"q~\"");
  expect_error(error_after([](json& file) { file["model"]["merges"][0] = "ab"; }), "merge 0: expected \"left right\"");
  expect_error(error_after([](json& file) { file["model"]["merges"][0] = {"a", "b", "c"}; }), "merge 0: expected");
  expect_error(error_after([](json& file) { file["model"]["merges"][0] = 5; }), "merge 0: expected");
}

TEST(TokenizerJson, BothSpellingsOfMergesMeanTheSame) {
  auto file = tests::golden("gpt2.tokenizer.json");
  const auto arrays = parse_tokenizer(file.dump());
  for (auto& merge : file["model"]["merges"]) merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  EXPECT_EQ(parse_tokenizer(file.dump())->fingerprint(), arrays->fingerprint());
}

TEST(TokenizerJson, WhatIsNotSupportedIsRefusedByName) {
  const auto refused = [](const std::string& what, const std::function<void(json&)>& change) {
    expect_error(error_after(change), what + " is not supported");
  };
  refused("model Lattice", [](json& file) { file["model"]["type"] = "Lattice"; });
  refused("dropout", [](json& file) { file["model"]["dropout"] = 0.1; });
  refused("truncation with strategy OnlyThird", [](json& file) { file["truncation"] = {{"max_length", 8}, {"strategy", "OnlyThird"}}; });
  refused("truncation with direction Up", [](json& file) { file["truncation"] = {{"max_length", 8}, {"direction", "Up"}}; });
  refused("padding with direction Up", [](json& file) { file["padding"] = {{"direction", "Up"}}; });
  refused("padding with strategy \"Longest\"", [](json& file) { file["padding"] = {{"strategy", "Longest"}}; });
  expect_error(error_after([](json& file) { file["truncation"] = {{"max_length", -1}}; }), "max_length is -1, out of range");
  expect_error(error_after([](json& file) { file["padding"] = {{"strategy", {{"Fixd", 3}}}}; }), "\"Fixed\" is missing");
  expect_error(error_after([](json& file) { file["model"]["continuing_subword_prefix"] = "é"; }), "\"é\" is not ASCII");
  refused("normalizer Odd", [](json& file) { file["normalizer"] = {{"type", "Odd"}}; });
  refused("normalizer Odd", [](json& file) { file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "Odd"}}}}}; });
  refused("pre_tokenizer Odd", [](json& file) { file["pre_tokenizer"] = {{"type", "Odd"}}; });
  refused("Punctuation with behavior Odd", [](json& file) { file["pre_tokenizer"] = {{"type", "Punctuation"}, {"behavior", "Odd"}}; });
  refused("Split with behavior Odd",
          [](json& file) { file["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"String", "x"}}}, {"behavior", "Odd"}}; });
  expect_error(error_after([](json& file) { file["pre_tokenizer"] = {{"type", "FixedLength"}, {"length", 0}}; }), "length is 0, below 1");
  expect_error(error_after([](json& file) { file["pre_tokenizer"] = {{"type", "CharDelimiterSplit"}, {"delimiter", "ab"}}; }),
               "CharDelimiterSplit: delimiter: expected one character");
  refused("post_processor Odd", [](json& file) { file["post_processor"] = {{"type", "Odd"}}; });
  refused("decoder Odd", [](json& file) { file["decoder"] = {{"type", "Odd"}}; });
  expect_error(error_after([](json& file) { file["decoder"] = {{"type", "BPEDecoder"}, {"suffix", ""}}; }),
               "BPEDecoder has an empty suffix");
  expect_error(error_after([](json& file) { file["decoder"] = {{"type", "CTC"}, {"pad_token", ""}, {"word_delimiter_token", "|"}}; }),
               "the decoder CTC has an empty token");
}

json split(const std::string& regex) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
}

TEST(TokenizerJson, PatternsThatCannotBeFollowedAreNamed) {
  const auto error = [](const std::string& regex) { return error_after([&](json& file) { file["pre_tokenizer"] = split(regex); }); };
  EXPECT_EQ(error(R"([a-c]+|\s)"), "no error");
  expect_error(error("(a"), "the Split pattern (a does not compile: missing closing parenthesis");
  expect_error(error(R"(\p{Han}+)"), R"(the Split pattern \p{Han}+ uses the property \p{Han}, which is not supported)");
  expect_error(error(R"(\p{N}{1,3}+)"), "the quantifier {n,m}+");
  expect_error(error(R"([a-z&&[^b]])"), "an intersection of classes");
  expect_error(error(R"([[:alpha:]])"), "a class inside a class");
  expect_error(error(R"(\bx)"), R"(uses \b)");
  expect_error(error("(?m:a.b)"), "the group (?m");
  expect_error(error("x\\"), "a \\ at its end");
  expect_error(error(""), "the Split pattern is empty");
  expect_error(error(std::string(5000, 'x')), "more than the limit of 1024");
}

TEST(TokenizerJson, APatternThatBacktracksWithoutEndIsAnErrorOfTheText) {
  auto file = tests::golden("gpt2.tokenizer.json");
  file["pre_tokenizer"] = split("(a+)+[bc]");
  const auto tokenizer = parse_tokenizer(file.dump());
  EXPECT_THROW(tokenizer->encode(std::string(200, 'a')), InputError);
}

TEST(TokenizerJson, TemplatesAreChecked) {
  const auto error = [](const std::function<void(json&)>& change) {
    auto file = tests::golden("llama3.tokenizer.json");
    change(file["post_processor"]["processors"][1]);
    return error_of_json(file.dump());
  };
  EXPECT_EQ(error([](json&) {}), "no error");
  expect_error(error([](json& part) { part["special_tokens"]["<|endoftext|>"]["ids"] = {700}; }),
               "\"<|endoftext|>\" has id 700, but the vocabulary has 700 tokens");
  expect_error(error([](json& part) { part["special_tokens"].erase("<|endoftext|>"); }),
               "TemplateProcessing has no ids for \"<|endoftext|>\"");
  expect_error(error([](json& part) { part["single"].push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}}); }), "with 2 sequences");
}

TEST(TokenizerJson, PostProcessorsAreChecked) {
  const auto error = [](json processor) { return error_after([&](json& file) { file["post_processor"] = std::move(processor); }); };
  const json bert{{"type", "BertProcessing"}, {"cls", {"<|endoftext|>", 0}}, {"sep", {"<|user|>", 1}}};
  EXPECT_EQ(error(bert), "no error");
  expect_error(error({{"type", "Sequence"}, {"processors", {bert, bert}}}), "two post_processors that add tokens");
  expect_error(error({{"type", "BertProcessing"}, {"cls", {"a", 0}}}), "\"sep\" is missing");
  expect_error(error({{"type", "RobertaProcessing"}, {"cls", {"a", 0}}, {"sep", {"a", 700}}}), "\"a\" has id 700");
  expect_error(error({{"type", "RobertaProcessing"}, {"cls", {"a", 0, 1}}, {"sep", {"a", 0}}}), "cls: expected [name, id], got 3 entries");
  const json text{{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  expect_error(error({{"type", "TemplateProcessing"}, {"single", {text}}, {"pair", {text, text}}, {"special_tokens", json::object()}}),
               "expected each of A and B once in \"pair\"");
  expect_error(error({{"type", "TemplateProcessing"}, {"single", {{{"Sequence", {{"id", "C"}}}}}}, {"special_tokens", json::object()}}),
               "expected sequence A or B, got \"C\"");
  expect_error(error({{"type", "TemplateProcessing"},
                      {"single", {{{"Sequence", {{"id", "A"}, {"type_id", 300}}}}}},
                      {"special_tokens", json::object()}}),
               "type_id 300 is out of range");
}

/// The message after `change` was made to a good file of another kind.
std::string error_in(const char* name, const std::function<void(json&)>& change) {
  auto file = tests::golden(name);
  change(file);
  return error_of_json(file.dump());
}

TEST(TokenizerJson, WordPieceIsChecked) {
  const auto error = [](const std::function<void(json&)>& change) { return error_in("word_piece.tokenizer.json", change); };
  EXPECT_EQ(error([](json&) {}), "no error");
  expect_error(error([](json& file) { file["model"]["unk_token"] = "<none>"; }), "the vocabulary lacks the unk_token \"<none>\"");
  expect_error(error([](json& file) { file["model"]["max_input_chars_per_word"] = -1; }), "max_input_chars_per_word is -1, below 0");
  expect_error(error([](json& file) { file["normalizer"]["lowercase"] = 1; }), "lowercase: expected true or false, got number");
  expect_error(error([](json& file) { file["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", "a"}}; }),
               "the normalizer Replace has an empty pattern");
  expect_error(error([](json& file) { file["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Regex", "x*"}}}, {"content", "a"}}; }),
               "the normalizer Replace with the pattern x*, which may match nothing, is not supported");
  expect_error(error([](json& file) { file["decoder"] = {{"type", "CTC"}}; }), "\"pad_token\" is missing");
  expect_error(error([](json& file) { file["decoder"].erase("prefix"); }), "\"prefix\" is missing");
}

TEST(TokenizerJson, ByteFallbackIsChecked) {
  const auto error = [](const std::function<void(json&)>& change) { return error_in("byte_fallback.tokenizer.json", change); };
  EXPECT_EQ(error([](json&) {}), "no error");
  expect_error(error([](json& file) { file["model"]["unk_token"] = "<none>"; }), "the vocabulary lacks the unk_token \"<none>\"");
  expect_error(error([](json& file) { file["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "ab"}}; }),
               "Metaspace: replacement: expected one character, got \"ab\"");
  expect_error(error([](json& file) { file["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "a"}, {"prepend_scheme", "odd"}}; }),
               "Metaspace with prepend_scheme odd is not supported");
  expect_error(error([](json& file) { file["decoder"] = {{"type", "Strip"}, {"content", " "}, {"start", -1}, {"stop", 0}}; }),
               "start is -1, out of range");
}

TEST(TokenizerJson, IgnoreMergesTakesWholeWordsFromTheVocabulary) {
  auto file = tests::golden("gpt2.tokenizer.json");
  const auto word = parse_tokenizer(file.dump())->find("Ġthe");
  ASSERT_TRUE(word);
  file["model"]["merges"] = json::array();
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(parse_tokenizer(file.dump())->encode(" the"), std::vector<TokenId>{*word});
  file["model"]["ignore_merges"] = false;
  EXPECT_EQ(parse_tokenizer(file.dump())->encode(" the").size(), 4u);
}

}  // namespace
}  // namespace isotrope

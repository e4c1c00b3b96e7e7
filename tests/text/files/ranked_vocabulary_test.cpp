// Vocabularies that are lists of byte strings or merges: tools/oracles/tokenizer_ranked_goldens.py made the goldens.
#include "isotrope/text/files/ranked_vocabulary.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/text/unicode/utf8.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;
using test::TemporaryFolder;
using tests::error_of;
using tests::expect_error;
using tests::golden;

void expect_cases(const Tokenizer& tokenizer, const json& file, const std::string& name) {
  ASSERT_FALSE(file[name].empty());
  for (std::size_t i = 0; i < file["texts"].size(); ++i) {
    const auto text = file["texts"][i].get<std::string>();
    SCOPED_TRACE(name + ": " + text);
    EXPECT_EQ(tokenizer.encode(text), file[name][i][0].get<Ids>());
    EXPECT_EQ(tokenizer.decode(file[name][i][0].get<Ids>()), file[name][i][1].get<std::string>());
  }
}

/// The file under its name in a folder of its own, read as a file, as the folder, and as it is saved.
void expect_cases_of_file(const std::string& name, const std::string& content, const json& file, const std::string& cases) {
  const TemporaryFolder folder, copy;
  write_file(folder.path() / name, content, "test");
  const auto tokenizer = load_tokenizer(folder.path() / name);
  expect_cases(*tokenizer, file, cases);
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), tokenizer->fingerprint());
  tokenizer->save(copy.path());
  const auto saved = load_tokenizer(copy.path());
  EXPECT_EQ(saved->fingerprint(), tokenizer->fingerprint());
  EXPECT_EQ(saved->eos(), tokenizer->eos());
  expect_cases(*saved, file, cases);
}

TEST(RankedVocabulary, TiktokenFilesGiveTheOraclesIds) {
  const auto file = golden("ranked.json");
  for (const std::string name : {"r50k_base", "p50k_edit", "cl100k_base", "o200k_base"})
    expect_cases_of_file(name + ".tiktoken", file["tiktoken"], file, name);
}

TEST(RankedVocabulary, RwkvTakesTheLongestMatch) {
  const auto file = golden("ranked.json");
  expect_cases_of_file("rwkv_vocab.txt", file["rwkv_vocabulary"], file, "rwkv");
}

TEST(RankedVocabulary, RwkvEndsTextsWithIdNought) {
  const auto file = golden("ranked.json");
  const auto tokenizer = make_tokenizer(read_rwkv_vocabulary(file["rwkv_vocabulary"].get<std::string>(), "test"));
  EXPECT_EQ(tokenizer->eos(), 0);
  EXPECT_TRUE(tokenizer->is_special(0));
  EXPECT_EQ(tokenizer->encode("a<|end of text|>"), (Ids{'a' + 1, 0}));
  const auto plain = tokenizer->encode("<|end of text|>", {.parse_special_tokens = false});
  EXPECT_EQ(std::ranges::count(plain, 0), 0);
  EXPECT_EQ(tokenizer->decode(plain), "<|end of text|>");
}

TEST(RankedVocabulary, LongTextsTakeNoTimeInRwkv) {
  const auto tokenizer = make_tokenizer(read_rwkv_vocabulary(golden("ranked.json")["rwkv_vocabulary"].get<std::string>(), "test"));
  EXPECT_FALSE(tokenizer->encode(std::string(1'000'000, 'a')).empty());
}

TEST(RankedVocabulary, BrokenTiktokenFilesAreNamed) {
  const auto good = golden("ranked.json")["tiktoken"].get<std::string>();
  const auto error = [](const std::string& text, const std::string& name = "r50k_base") {
    return error_of([&] { read_tiktoken_vocabulary(text, name, "f"); });
  };
  EXPECT_EQ(error(good), "no error");
  expect_error(error(good, "odd"), "odd.tiktoken is not known (known: gpt2, r50k_base");
  expect_error(error("IQ==\n"), "line 1: expected a token in base 64 and a rank");
  expect_error(error("IQ= 0\n"), "line 1: the token is not base 64");
  expect_error(error("I?== 0\n"), "line 1: the token is not base 64");
  expect_error(error(" 0\n"), "line 1: the token is empty");
  expect_error(error("IQ== x\n"), "line 1: expected a number below 2097152, got \"x\"");
  expect_error(error("IQ== 9999999\n"), "expected a number below 2097152");
  expect_error(error("IQ== 0\nIg== 0\n"), "line 2: id 0 stands on an earlier line, too");
  expect_error(error("IQ== 0\nIQ== 1\n"), "line 2: the token stands on an earlier line, too");
  expect_error(error("IQ== 0\n"), "there is no token for byte 0x00");
  expect_error(error(good + "AAEC 50256\n"), "id 50256 is a token's and that of <|endoftext|>");
}

TEST(RankedVocabulary, BrokenRwkvFilesAreNamed) {
  const auto error = [](const std::string& text) { return error_of([&] { read_rwkv_vocabulary(text, "f"); }); };
  EXPECT_EQ(error(golden("ranked.json")["rwkv_vocabulary"]), "no error");
  expect_error(error("1 'a'\n"), "line 1: expected an id, a token and its length");
  expect_error(error("1\n"), "line 1: expected an id, a token and its length");
  expect_error(error("1 'a 1\n"), "line 1: expected a token in quotation marks");
  expect_error(error("1 'ab' 1\n"), "line 1: the token has 2 bytes, the line says 1");
  expect_error(error("0 'a' 1\n"), "line 1: id 0 ends a text");
  expect_error(error("1 '\\q' 1\n"), "line 1: \\q is not understood");
  expect_error(error("1 '\\x1' 1\n"), "line 1: \\x is not understood");
  expect_error(error("1 '\\ud800' 3\n"), "line 1: \\u is not understood");
  expect_error(error("1 b'\\u0041' 1\n"), "line 1: \\u is not understood");
  expect_error(error("1 'a' 1\n"), "there is no token for byte 0x00");
}

/// A file with as many merges as CLIP's has: all pairs of letters, those that end a word first.
std::string clip_merges() {
  std::vector<std::string> letters;
  for (unsigned byte = 0; byte < 256; ++byte) append_utf8(letters.emplace_back(), byte_alphabet()[byte]);
  std::string text = "\"bpe_simple_vocab_16e6.txt#version: 0.2\n";
  for (const auto* end : {"</w>", ""})
    for (const auto& left : letters)
      for (const auto& right : letters) text += left + " " + right + end + "\n";
  return text;
}

TEST(RankedVocabulary, ClipSpellsWordsWithAnEnd) {
  const auto definition = read_clip_merges(clip_merges(), "test");
  EXPECT_EQ(definition.names.size(), 49408u);
  const auto tokenizer = make_tokenizer(definition);
  const auto id = [&](const char* name) { return *tokenizer->find(name); };
  EXPECT_EQ(tokenizer->encode(" A  bc!\n1\u0065\u0301"),
            (Ids{49406, id("a</w>"), id("bc</w>"), id("!</w>"), id("1</w>"), id("\u00C3"), id("\u00A9</w>"), 49407}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("The cat sits", {.add_special_tokens = false})), "the cat sits");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("A", {}), {.skip_special_tokens = true}), "a");
  const TemporaryFolder folder;
  tokenizer->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), tokenizer->fingerprint());
}

TEST(RankedVocabulary, BrokenMergesOfClipAreNamed) {
  const auto error = [](const std::string& text) { return error_of([&] { read_clip_merges(text, "f"); }); };
  expect_error(error("first\na b\n"), "1 merges, where CLIP's vocabulary has 48894");
  expect_error(error("first\nab\n"), "line 2: expected two tokens");
  expect_error(error("first\nab c\n"), "line 2: the token ab is not there yet");
  expect_error(error("first\na b\na b\n"), "the token ab is there twice");
}

}  // namespace
}  // namespace isotrope

// The tokenizer command as a user meets it: output, files, exit codes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <tuple>

#include "isotrope/text/tokenizer.h"
#include "tests/app/tokenizer_program.h"

namespace isotrope {
namespace {

using test::corpus;
using test::gpt2;
using test::tokenizer;

TEST(TokenizerCommand, TrainsEncodesAndDecodesBackToTheFile) {
  const test::TemporaryFolder folder;
  const auto model = (folder.path() / "model").string(), ids = (folder.path() / "ids").string();
  EXPECT_EQ(tokenizer("train --file " + corpus + " --vocab-size 700 --special '<|endoftext|>' '<|user|>' -o " + model).code, 0);
  EXPECT_EQ(load_tokenizer(model)->fingerprint(), load_tokenizer(gpt2)->fingerprint());
  for (const std::string format : {"text", "npy"}) {
    EXPECT_EQ(tokenizer("encode " + model + " --file " + corpus + " --output " + ids + " --format " + format).code, 0);
    const auto decoded = tokenizer("decode " + model + " --file " + ids);
    EXPECT_EQ(decoded.code, 0);
    EXPECT_EQ(decoded.output, read_file(corpus, "test")) << format;
  }
}

TEST(TokenizerCommand, PrintsIdsAloneOnStdout) {
  EXPECT_EQ(tokenizer("encode bytes --text 'aé<|endoftext|>'").output, "97 195 169 256\n");
  EXPECT_EQ(tokenizer("encode bytes --no-special --text '<|e'").output, "60 124 101\n");
  EXPECT_EQ(tokenizer("encode bytes --text ''").output, "\n");
  EXPECT_EQ(tokenizer("decode bytes --ids '97 256 98'").output, "a<|endoftext|>b");
  EXPECT_EQ(tokenizer("decode bytes --ids '97 256 98' --skip-special").output, "ab");
  EXPECT_EQ(tokenizer("encode bytes --text 'a<|endoftext|>' --show").output,
            "     97      0-1      \"a\"\n    256      1-14     \"<|endoftext|>\"  special\n");
}

TEST(TokenizerCommand, PrintsOneJsonObject) {
  const auto result = nlohmann::json::parse(tokenizer("encode bytes --text 'ab' --json").output);
  EXPECT_EQ(result["ids"], (std::vector<int>{97, 98}));
  EXPECT_EQ(result["tokens"], 2);
  EXPECT_EQ(result["bytes"], 2);
  EXPECT_EQ(result["vocab"], 257);
  EXPECT_TRUE(result["seconds"].is_number());
}

TEST(TokenizerCommand, EncodesPairsUpToALength) {
  const auto bert = tests::golden_path("word_piece.tokenizer.json").string();
  const auto result =
      nlohmann::json::parse(tokenizer("encode " + bert + " --text 'the river opens' --pair 'the window' --max-length 6 --json").output);
  const auto expected = load_tokenizer(bert)->encode_pair("the river opens", "the window", {.max_length = 6});
  EXPECT_EQ(result["ids"], expected.ids);
  EXPECT_EQ(result["types"], expected.types);
  EXPECT_EQ(result["tokens"], 6);
  EXPECT_EQ(tokenizer("encode " + bert + " --text 'the river' --max-length 3").output,
            "2 " + std::to_string(*load_tokenizer(bert)->find("the")) + " 3\n");
  EXPECT_EQ(tokenizer("encode " + bert + " --text a --pair b --max-length 2").code, 2);
  EXPECT_EQ(tokenizer("decode " + bert + " --ids '2 3' --skip-special").output, "");
}

TEST(TokenizerCommand, BrokenUtf8IsWarnedOfOnceOrRefusedWhenStrict) {
  const test::TemporaryFolder folder;
  const auto file = (folder.path() / "broken.txt").string();
  write_file(file, "ab\xFFz\xFF", "test");
  EXPECT_EQ(tokenizer("encode bytes --file " + file).output, "97 98 239 191 189 122 239 191 189\n");
  const auto loud = tokenizer("encode bytes --file " + file, true).output;
  const auto warned = loud.find("warning: the text has bytes that are not UTF-8");
  ASSERT_NE(warned, std::string::npos) << loud;
  EXPECT_EQ(loud.find("warning:", warned + 1), std::string::npos) << loud;
  const auto strict = tokenizer("encode bytes --strict --file " + file, true);
  EXPECT_EQ(strict.code, 3);
  EXPECT_EQ(strict.output, "error: [tokenizer] " + file + ": byte 2 is not UTF-8\n");
}

TEST(TokenizerCommand, WrongUseAndWrongInputHaveTheirExitCodes) {
  EXPECT_EQ(tokenizer("encode bytes").code, 2);
  EXPECT_EQ(tokenizer("encode bytes --text a --file b").code, 2);
  EXPECT_EQ(tokenizer("encode bytes --text a --format npy").code, 2);
  EXPECT_EQ(tokenizer("encode /no/such/folder --text a").code, 3);
  EXPECT_EQ(tokenizer("encode bytes --file /no/such/file").code, 3);
  EXPECT_EQ(tokenizer("train --file " + corpus + " --vocab-size 256 -o /tmp/never").code, 2);
  EXPECT_EQ(tokenizer("train --file /no/such/file -o /tmp/never").code, 3);
  const auto range = tokenizer("decode bytes --ids '300'", true);
  EXPECT_EQ(range.code, 3);
  EXPECT_EQ(range.output, "error: [tokenizer] id 300 is out of range: the vocabulary has 257 tokens\n");
  const auto word = tokenizer("decode bytes --ids '12 1x'", true);
  EXPECT_EQ(word.code, 3);
  EXPECT_EQ(word.output, "error: [tokenizer] --ids: expected ids separated by spaces, got \"1x\" at byte 3\n");
}

TEST(TokenizerCommand, AnNpyFileOfAnotherKindIsRefused) {
  const test::TemporaryFolder folder;
  const auto ids = (folder.path() / "ids.npy").string();
  EXPECT_EQ(tokenizer("encode bytes --text abc --format npy --output " + ids).code, 0);
  auto bytes = read_file(ids, "test");
  EXPECT_EQ(bytes.size(), 128u + 12u);
  for (const auto& broken : {bytes.substr(0, 5), bytes.substr(0, 9), bytes.substr(0, 60), bytes.substr(0, bytes.size() - 1),
                             bytes.substr(0, bytes.size() - 4), bytes + "1234"}) {
    write_file(ids, broken, "test");
    EXPECT_EQ(tokenizer("decode bytes --file " + ids).code, 3) << broken.size();
  }
  bytes.replace(bytes.find("<i4"), 3, "<f4");
  write_file(ids, bytes, "test");
  EXPECT_EQ(tokenizer("decode bytes --file " + ids).code, 3);
}

TEST(TokenizerCommand, WritesDialoguesInTheFormOfTheTemplate) {
  const test::TemporaryFolder folder;
  const auto model = (folder.path() / "model").string(), file = (folder.path() / "dialogue.json").string();
  const auto put = [](const std::string& path, std::string_view text) { write_file(path, text, "test"); };
  std::filesystem::create_directory(model);
  byte_tokenizer()->save(model);
  put(model + "/chat_template.jinja",
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ mood }}{% endfor %}{{ tools|length if tools }}{% if add_generation_prompt "
      "%}<assistant>{% endif %}");
  EXPECT_EQ(tokenizer("chat " + model + " --system S --message U --message A").output, "<system>S<user>U<assistant>A<assistant>");
  EXPECT_EQ(tokenizer("chat " + model + " --message U --set mood=! --no-generation-prompt").output, "<user>U!");
  EXPECT_EQ(tokenizer("chat " + model + " --message U --no-generation-prompt --ids").output, "60 117 115 101 114 62 85\n");
  put(file, R"([{"role": "user", "content": "U"}])");
  put(file + ".tools", R"([{"type": "function"}])");
  EXPECT_EQ(tokenizer("chat " + model + " --messages " + file + " --tools " + file + ".tools --no-generation-prompt").output, "<user>U1");
  const auto json = nlohmann::json::parse(tokenizer("chat " + model + " --messages " + file + " --json").output);
  EXPECT_EQ(json["text"], "<user>U<assistant>");
  EXPECT_EQ(json["ids"].size(), 18U);
  for (const auto& [arguments, code, words] : std::vector<std::tuple<std::string, int, std::string>>{
           {"", 2, "expected either --message or --messages"},
           {" --message U --template tool_use", 3, "the tokenizer has no chat template tool_use (it has: default)"},
           {" --message U --set mood", 2, "--set takes NAME=VALUE"},
           {" --messages " + model + "/none.json", 3, "none.json"},
           {" --messages " + model + "/chat_template.jinja", 3, "is no JSON"},
           {" --messages " + model + "/tokenizer_config.json", 3, "expected a list of messages"}}) {
    const auto outcome = tokenizer("chat " + model + arguments, true);
    EXPECT_EQ(outcome.code, code) << arguments;
    EXPECT_NE(outcome.output.find(words), std::string::npos) << outcome.output;
  }
}

}  // namespace
}  // namespace isotrope

// tokenizer encode's offsets, batches, lengths and --show, and tokenizer check, as a user meets them.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "isotrope/base/sha256.h"
#include "isotrope/text/steps/encoding.h"
#include "tests/app/tokenizer_program.h"

namespace isotrope {
namespace {

using nlohmann::json;
using test::bert;
using test::gpt2;
using test::TemporaryFolder;
using test::tokenizer;

TEST(TokenizerEncodeCommand, PrintsWhereTokensStand) {
  EXPECT_EQ(tokenizer("encode bytes --text 'aé' --offsets").output, "97 0 1\n195 1 2\n169 1 2\n");
  const auto result = json::parse(tokenizer("encode " + bert + " --text 'The  river' --pair é --offsets --json").output);
  const auto expected = load_tokenizer(bert)->encode_full({"The  river", "é"}, {});
  EXPECT_EQ(result["ids"], expected.ids);
  EXPECT_EQ(result["names"], json(expected.tokens));
  EXPECT_EQ(result["offsets"], json::parse("[[0,0],[0,3],[5,10],[0,0],[0,1],[0,0]]"));
  EXPECT_EQ(result["byte_offsets"], json::parse("[[0,0],[0,3],[5,10],[0,0],[0,2],[0,0]]"));
  EXPECT_EQ(result["types"], json::parse("[0,0,0,0,1,1]"));
  EXPECT_EQ(result["words"], json::parse("[-1,0,1,-1,0,-1]"));
  EXPECT_EQ(result["sequences"], json::parse("[-1,0,0,-1,1,-1]"));
  EXPECT_EQ(result["special"], json::parse("[1,0,0,1,0,1]"));
  EXPECT_EQ(result["attention"], json::parse("[1,1,1,1,1,1]"));
  EXPECT_FALSE(result.contains("overflowing"));
}

TEST(TokenizerEncodeCommand, CutsAndPadsAsAskedFor) {
  const auto the = std::to_string(*load_tokenizer(bert)->find("the"));
  const auto text = " --text 'the the the the'";
  EXPECT_EQ(tokenizer("encode " + bert + text + " --max-length 4 --stride 1").output,
            "2 " + the + " " + the + " 3\n2 " + the + " " + the + " 3\n2 " + the + " " + the + " 3\n");
  EXPECT_EQ(tokenizer("encode " + bert + text + " --max-length 4 --overflow").output,
            "2 " + the + " " + the + " 3\n2 " + the + " " + the + " 3\n");
  EXPECT_EQ(tokenizer("encode " + bert + text + " --max-length 3 --truncation-side left --pad-to 5 --pad-side left").output,
            "0 0 2 " + the + " 3\n");
  EXPECT_EQ(tokenizer("encode " + bert + text + " --pad-multiple 4 --pad-token '[MASK]'").output,
            "2 " + the + " " + the + " " + the + " " + the + " 3 4 4\n");
  EXPECT_EQ(tokenizer("encode " + bert + text + " --pair the --max-length 6 --truncation only_first").output,
            "2 " + the + " " + the + " 3 " + the + " 3\n");
  for (const auto& [arguments, code, words] : std::vector<std::tuple<std::string, int, std::string>>{
           {" --stride 1", 2, "--truncation, --truncation-side and --stride need --max-length"},
           {" --max-length 4 --stride 2", 2, "a stride of 2 tokens is not less than the 2 that are left of a text"},
           {" --max-length 4 --truncation only_second", 2, "there is no second text"},
           {" --pair the --max-length 6 --truncation only_second", 2, "fewer than the"},
           {" --pad-to 3x", 2, "--pad-to: expected a length or longest, got 3x"},
           {" --pad-token x", 2, "--pad-token needs --pad-to or --pad-multiple"},
           {" --pad-to 3 --pad-token none", 3, "the vocabulary has no token \"none\" to pad with"},
           {" --batch lines", 2, "--batch reads a --file"},
           {" --format npy --output x --offsets", 2, "--format npy holds no offsets"}}) {
    const auto outcome = tokenizer("encode " + bert + text + arguments, true);
    EXPECT_EQ(outcome.code, code) << arguments;
    EXPECT_NE(outcome.output.find(words), std::string::npos) << outcome.output;
  }
  EXPECT_NE(tokenizer("encode bytes --text a --pad-to 3", true).output.find("no padding token: name one with --pad-token"),
            std::string::npos);
}

TEST(TokenizerEncodeCommand, DoesWhatTheFileSaysOfLengthsWhenAsked) {
  const TemporaryFolder folder;
  const auto file = (folder.path() / "tokenizer.json").string();
  auto description = tests::golden("word_piece.tokenizer.json");
  description["truncation"] = {{"direction", "Right"}, {"max_length", 4}, {"strategy", "LongestFirst"}, {"stride", 0}};
  description["padding"] = {{"strategy", {{"Fixed", 6}}}, {"direction", "Right"}, {"pad_to_multiple_of", nullptr}, {"pad_id", 0},
                            {"pad_type_id", 0},           {"pad_token", "[PAD]"}};
  write_file(file, description.dump(), "test");
  const auto ids = [&](const std::string& more) {
    return json::parse(tokenizer("encode " + file + " --text 'the the the' --json" + more).output)["ids"];
  };
  const auto the = *load_tokenizer(bert)->find("the");
  EXPECT_EQ(ids(""), json({2, the, the, the, 3}));
  EXPECT_EQ(ids(" --own-limits"), json({2, the, the, 3, 0, 0}));
  EXPECT_EQ(ids(" --own-limits --max-length 3 --pad-to 4"), json({2, the, 3, 0}));
}

TEST(TokenizerEncodeCommand, EncodesManyTextsWhateverTheThreads) {
  const TemporaryFolder folder;
  const auto file = (folder.path() / "lines").string(), ids = (folder.path() / "ids.npy").string();
  write_file(file, "ab\n\nc\xFF\n\"d\"", "test");
  for (const std::string threads : {" --threads 1", " --threads 4"})
    EXPECT_EQ(tokenizer("encode bytes --file " + file + " --batch lines" + threads).output, "97 98\n\n99 239 191 189\n34 100 34\n");
  EXPECT_EQ(tokenizer("encode bytes --file " + file + " --batch lines --strict", true).output,
            "error: [tokenizer] " + file + ": text 3: byte 1 is not UTF-8\n");
  const auto npy = "encode bytes --file " + file + " --batch lines --format npy --output " + ids;
  EXPECT_EQ(tokenizer(npy).code, 2);
  EXPECT_EQ(tokenizer(npy + " --pad-to longest --pad-token '<|endoftext|>' --json").code, 0);
  EXPECT_NE(read_file(ids, "test").find("(4, 4)"), std::string::npos);
  EXPECT_EQ(tokenizer("encode bytes --file " + file + " --batch lines --offsets").output,
            "97 0 1\n98 1 2\n\n\n99 0 1\n239 1 2\n191 1 2\n189 1 2\n\n34 0 1\n100 1 2\n34 2 3\n\n");

  write_file(file, "\"a\\nb\"\n\n{\"text\": \"c\", \"pair\": \"d\"}\n", "test");
  const auto result = json::parse(tokenizer("encode bytes --file " + file + " --batch jsonl --json").output);
  EXPECT_EQ(result["texts"], 2);
  EXPECT_EQ(result["tokens"], 5);
  EXPECT_EQ(result["encodings"][0]["ids"], json({97, 10, 98}));
  EXPECT_EQ(result["encodings"][1]["types"], json({0, 1}));
  write_file(file, "{\"text\": 3}\n", "test");
  const auto broken = tokenizer("encode bytes --file " + file + " --batch jsonl", true);
  EXPECT_EQ(broken.code, 3);
  EXPECT_NE(broken.output.find("line 1: expected a JSON text or an object with \"text\""), std::string::npos) << broken.output;
}

TEST(TokenizerEncodeCommand, PaintsPiecesAndLetsNothingCommandTheTerminal) {
  const auto plain = tokenizer("encode " + gpt2 + " --text 'a b' --show").output;
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  EXPECT_EQ(tokenizer("encode " + gpt2 + " --text 'a b' --show --color never").output, plain);
  const auto colour = tokenizer("encode bytes --text 'aé<|endoftext|>' --show --color always").output;
  EXPECT_EQ(colour.substr(0, colour.find('\n')),
            "\x1b[30;46ma\x1b[0m\x1b[30;43mé\x1b[0m\x1b[30;46m�\x1b[0m\x1b[30;45m<|endoftext|>\x1b[0m");
  EXPECT_NE(colour.find("    195      1-2      \x1b[30;43m\"�\"\x1b[0m\n"), std::string::npos) << colour;
  EXPECT_NE(colour.find("\x1b[30;45m\"<|endoftext|>\"\x1b[0m  special\n"), std::string::npos) << colour;
  const TemporaryFolder folder;
  const auto file = (folder.path() / "text").string();
  write_file(file, "a\x1b[2J\x07\xC2\x9B\xE2\x80\xAE\x7F\r\nb", "test");
  const auto safe = tokenizer("encode bytes --file " + file + " --show").output;
  for (const char control : {'\x1b', '\x07', '\r', '\x7F'}) EXPECT_EQ(safe.find(control), std::string::npos);
  for (const std::string control : {"\xC2\x9B", "\xE2\x80\xAE"}) EXPECT_EQ(safe.find(control), std::string::npos);
  EXPECT_EQ(json::parse(tokenizer("decode bytes --ids '194 155 127' --json").output)["text"], "\xC2\x9B\x7F");
  const auto printed = tokenizer("decode bytes --ids '27 7 194 155 127' --json").output;
  for (const std::string control : {"\x1b", "\x07", "\x7F", "\xC2\x9B"}) EXPECT_EQ(printed.find(control), std::string::npos) << printed;
  auto painted = tokenizer("encode bytes --file " + file + " --show --color always").output;
  for (const std::string ours : {"\x1b[30;46m", "\x1b[30;43m", "\x1b[0m"})
    for (auto at = painted.find(ours); at != std::string::npos; at = painted.find(ours)) painted.erase(at, ours.size());
  for (const char control : {'\x1b', '\x07', '\r', '\x7F'}) EXPECT_EQ(painted.find(control), std::string::npos) << painted;
  EXPECT_NE(painted.find("a\\x1b[2J\\x07\\x9b"), std::string::npos) << painted;
}

TEST(TokenizerCheckCommand, NamesTheFirstDifferenceAndExitsWithOne) {
  const TemporaryFolder folder;
  const auto text = (folder.path() / "text").string(), dump = (folder.path() / "dump").string();
  write_file(text, "The \x1briver\n", "test");
  EXPECT_EQ(tokenizer("check " + gpt2 + " --text " + text).output,
            "1 record, " + std::to_string(load_tokenizer(gpt2)->encode("The \x1briver\n").size()) +
                " tokens, 11 bytes against itself: ids of all, offsets of 1, decoded text of 1\nno difference\n");
  json header{{"format", "token_dump"}, {"version", 1}, {"library", "an\x1b oracle"}, {"library_version", "2"}, {"tokenizer", "t"},
              {"text_bytes", 11},       {"records", 1}};
  header["text_sha256"] = sha256_hex("The \x1briver\n");
  auto encoding = byte_tokenizer()->encode_full({"The \x1briver\n"}, {});
  const auto put = [&] { write_file(dump, header.dump() + "\n" + json{{"bytes", {0, 11}}, {"ids", encoding.ids}}.dump() + "\n", "test"); };
  put();
  EXPECT_EQ(tokenizer("check bytes --text " + text + " --against " + dump).code, 0);
  encoding.ids[5] = 120;
  put();
  const auto wrong = tokenizer("check bytes --text " + text + " --against " + dump, true);
  EXPECT_EQ(wrong.code, 1);
  EXPECT_EQ(wrong.output,
            "1 record, 11 tokens, 11 bytes against an\\x1b oracle 2, t: ids of all, offsets of 0, decoded text of 0\n"
            "1 of 1 records differ; the first difference is in the ids, at byte 5\n"
            "  ours    token 5: id 114 \"r\"\n  theirs  token 5: id 120 \"x\"\n  text    The \\x1b → river\\n\n"
            "error: [tokenizer] 1 of 1 records differ from an\\x1b oracle 2, t\n");
  const auto result = json::parse(tokenizer("check bytes --json --text " + text + " --against " + dump).output);
  EXPECT_EQ(result["different"], 1);
  EXPECT_EQ(result["first"]["byte"], 5);
  write_file(dump, "x", "test");
  const auto broken = tokenizer("check bytes --text " + text + " --against " + dump, true);
  EXPECT_EQ(broken.code, 3);
  EXPECT_EQ(std::ranges::count(broken.output, '\n'), 1) << broken.output;
}

}  // namespace
}  // namespace isotrope

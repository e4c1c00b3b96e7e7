// Token dumps and the comparison of `tokenizer check`.
#include "isotrope/text/tokenizer_check.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/base/sha256.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using nlohmann::json;

const std::string text = "The river\nopens the é.\n";

json header(std::size_t records) {
  return {{"format", "token_dump"},    {"version", 1},         {"library", "a library"},
          {"library_version", "1.0"},  {"tokenizer", "bytes"}, {"text_sha256", sha256_hex(text)},
          {"text_bytes", text.size()}, {"records", records}};
}

/// A dump of the text's two lines as the byte tokenizer has them.
std::vector<json> right_records() {
  std::vector<json> records;
  for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 10}, {10, text.size()}}) {
    const auto piece = std::string_view(text).substr(begin, end - begin);
    const auto encoding = byte_tokenizer()->encode_full({piece}, {});
    json record{{"bytes", {begin, end}}, {"ids", encoding.ids}, {"offsets", json::array()}, {"decoded", true}, {"skipped", piece}};
    for (const auto& [first, last] : encoding.offsets) record["offsets"].insert(record["offsets"].end(), {first, last});
    records.push_back(std::move(record));
  }
  return records;
}

std::string dump_of(const json& first, const std::vector<json>& records) {
  auto content = first.dump() + "\n";
  for (const auto& record : records) content += record.dump() + "\n";
  return content;
}

TokenizerCheck check(const std::string& content) {
  TokenDump dump(content, "the dump");
  return check_against(*byte_tokenizer(), text, "the text", dump, 2);
}

std::string error_of_dump(const std::string& content) {
  try {
    check(content);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(TokenDump, WhatIsEqualHasNoDifference) {
  const auto result = check(dump_of(header(2), right_records()));
  EXPECT_FALSE(result.first) << result.first->what << ": " << result.first->ours << ", " << result.first->theirs;
  EXPECT_EQ(result.records, 2u);
  EXPECT_EQ(result.tokens, text.size());
  EXPECT_EQ(result.bytes, text.size());
  EXPECT_EQ(result.offsets, 2u);
  EXPECT_EQ(result.decoded, 2u);
}

TEST(TokenDump, WhatIsNotUtf8CountsAsWhatReplacesIt) {
  const std::string broken = "a\xFF";
  auto first = header(1);
  first["text_sha256"] = sha256_hex(broken), first["text_bytes"] = broken.size();
  const json record{{"bytes", {0, 2}}, {"ids", {97, 239, 191, 189}}, {"offsets", {0, 1, 1, 2, 1, 2, 1, 2}}, {"decoded", true}};
  const auto content = dump_of(first, {record});
  TokenDump dump(content, "the dump");
  EXPECT_EQ(check_against(*byte_tokenizer(), broken, "the text", dump, 1).different, 0u);
}

TEST(TokenDump, TheFirstDifferenceIsNamedWithItsPlaceAndItsText) {
  auto records = right_records();
  records[1]["ids"][3] = 120;
  auto result = check(dump_of(header(2), records));
  ASSERT_TRUE(result.first);
  EXPECT_EQ(result.different, 1u);
  EXPECT_EQ(result.first->what, "ids");
  EXPECT_EQ(result.first->begin, 13u);
  EXPECT_EQ(result.first->ours, "token 3: id 110 \"n\"");
  EXPECT_EQ(result.first->theirs, "token 3: id 120 \"x\"");
  EXPECT_EQ(result.first->before, "The river\nope");
  EXPECT_EQ(result.first->at, "ns the é.\n");

  records = right_records();
  records[1]["offsets"][2 * 11 + 1] = 13;
  result = check(dump_of(header(2), records));
  ASSERT_TRUE(result.first);
  EXPECT_EQ(result.first->what, "offsets");
  EXPECT_EQ(result.first->ours, "token 11 at 10-11");
  EXPECT_EQ(result.first->theirs, "token 11 at 10-13");
  EXPECT_EQ(result.first->at, "é.\n");

  records = right_records();
  records[0]["decoded"] = "The riven\n";
  result = check(dump_of(header(2), records));
  ASSERT_TRUE(result.first);
  EXPECT_EQ(result.first->what, "decoded text");
  EXPECT_EQ(result.first->ours, "\"r\n\" at byte 8");
  EXPECT_EQ(result.first->theirs, "\"n\n\" at byte 8");

  records = right_records();
  records[0]["ids"].push_back(256), records[0]["offsets"].insert(records[0]["offsets"].end(), {0, 0});
  result = check(dump_of(header(2), records));
  ASSERT_TRUE(result.first);
  EXPECT_EQ(result.first->ours, "nothing");
  records[0]["ids"].back() = 4000;
  EXPECT_EQ(check(dump_of(header(2), records)).first->theirs, "id 4000, which the vocabulary lacks");
}

TEST(TokenDump, BadDumpsGetOneClearLine) {
  const auto records = right_records();
  const auto of_header = [&](const std::string& key, const json& value) {
    auto first = header(2);
    first[key] = value;
    return error_of_dump(dump_of(first, records));
  };
  const auto of_record = [&](const std::string& key, const json& value) {
    auto changed = records;
    changed[1][key] = value;
    return error_of_dump(dump_of(header(2), changed));
  };
  const auto expect = [](const std::string& error, const std::string& words) { EXPECT_NE(error.find(words), std::string::npos) << error; };
  expect(error_of_dump(""), "the dump: expected a token dump, whose first line has \"format\": \"token_dump\", got \"\"");
  expect(error_of_dump("\x1b[2J"), "got \"\\x1b[2J\"");
  expect(of_header("format", "other"), "expected a token dump");
  expect(of_header("version", 2), "expected a token dump of version 1, got 2");
  expect(of_header("library", 3), "library: expected a string, got number");
  expect(of_header("text_bytes", 22), "the dump is of a text of 22 bytes, the text has 24");
  expect(of_header("text_sha256", "abc"), "the dump is of another text: SHA-256 abc, the text has ");
  expect(of_header("records", 3), "the dump ends after 2 of 3 records");
  expect(of_header("records", 1), "line 3: expected 1 records, got more");
  expect(of_header("records", -1), "records: expected 0 to");
  expect(of_record("bytes", json::array({10})), "line 3: bytes: expected 2 numbers, got 1");
  expect(of_record("bytes", json::array({11, 10})), "line 3: bytes: expected 0 to 10, got 11");
  expect(of_record("bytes", json::array({10, 25})), "line 3: bytes: expected 0 to 24, got 25");
  expect(of_record("ids", json::array({-1})), "line 3: ids: expected 0 to 2147483647, got -1");
  expect(of_record("ids", "x"), "line 3: ids: expected an array, got string");
  expect(of_record("offsets", json::array({1, 2})), "line 3: offsets: expected two a token, 28, got 2");
  expect(of_record("decoded", 5), "line 3: decoded: expected a string, got number");
  expect(error_of_dump(dump_of(header(1), {}) + "{\"bytes\""), "line 2: not valid JSON");
  expect(error_of_dump(dump_of(header(1), {}) + "[]\n"), "line 2: the record: expected an object, got array");
}

TEST(TokenizerCheckAlone, TokenizersAgreeWithThemselves) {
  auto corpus = read_file(tests::golden_path("corpus.txt"), "test");
  corpus += corpus + corpus + corpus + corpus;  // several pieces
  for (const char* name : {"gpt2", "llama3", "word_piece", "byte_fallback", "added", "bytes"}) {
    const auto tokenizer = load_tokenizer(tests::golden_path(std::string(name) + ".tokenizer.json"));
    const auto result = check_alone(*tokenizer, corpus, 2);
    EXPECT_FALSE(result.first) << name << " " << result.first->what << ": " << result.first->ours << ", " << result.first->theirs;
    EXPECT_EQ(result.bytes, corpus.size());
    EXPECT_GT(result.records, 1u);
    EXPECT_EQ(result.decoded > 0, tokenizer->keeps_every_byte());
  }
}

}  // namespace
}  // namespace isotrope

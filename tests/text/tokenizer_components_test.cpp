// Every component of tokenizer.json against Hugging Face tokenizers: tools/oracles/tokenizer_components_goldens.py made the file.
#include <gtest/gtest.h>

#include <map>

#include "isotrope/base/error.h"
#include "isotrope/base/sha256.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/steps/encoding.h"
#include "isotrope/text/steps/split_rules.h"
#include "isotrope/text/tokenizer.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;
using tests::golden;

json with_patch(const json& base, const json& patch) {
  auto description = base;
  for (const auto& [path, value] : patch.items()) description[json::json_pointer("/" + path)] = value;
  return description;
}

class TokenizerComponents : public testing::Test {
 protected:
  const json file_ = golden("components.json");
  const std::map<std::string, json> bases_{{"characters", golden("characters.tokenizer.json")}, {"gpt2", golden("gpt2.tokenizer.json")}};
};

TEST_F(TokenizerComponents, GiveTheOraclesIdsOffsetsAndText) {
  for (const auto& entry : file_["cases"]) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    const auto tokenizer = parse_tokenizer(with_patch(bases_.at(entry["base"]), entry["patch"]).dump());
    for (std::size_t i = 0; i < file_["texts"].size(); ++i) {
      const auto text = file_["texts"][i].get<std::string>();
      SCOPED_TRACE(text);
      const auto ids = tokenizer->encode(text);
      EXPECT_EQ(ids, entry["results"][i][0].get<Ids>());
      const auto encoding = tokenizer->encode_full({text}, {});
      EXPECT_EQ(encoding.ids, ids);
      std::vector<std::uint32_t> offsets;
      for (const auto& [begin, end] : encoding.offsets) offsets.insert(offsets.end(), {begin, end});
      EXPECT_EQ(offsets, entry["results"][i][2].get<std::vector<std::uint32_t>>());
      EXPECT_EQ(tokenizer->decode(entry["results"][i][0].get<Ids>()), entry["results"][i][1].get<std::string>());
    }
  }
}

TEST_F(TokenizerComponents, SavedAndLoadedAreTheSame) {
  for (const auto& entry : file_["cases"]) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    const auto tokenizer = parse_tokenizer(with_patch(bases_.at(entry["base"]), entry["patch"]).dump());
    const test::TemporaryFolder folder;
    tokenizer->save(folder.path());
    const auto copy = load_tokenizer(folder.path());
    EXPECT_EQ(copy->fingerprint(), tokenizer->fingerprint());
    for (const auto& text : file_["texts"]) {
      const auto ids = tokenizer->encode(text.get<std::string>());
      EXPECT_EQ(copy->encode(text.get<std::string>()), ids);
      EXPECT_EQ(copy->decode(ids), tokenizer->decode(ids));
    }
  }
}

TEST_F(TokenizerComponents, TextsCutInPartsGiveTheSameIds) {
  std::string text;
  while (text.size() < 300'000)
    for (const auto& part : file_["texts"]) text += part.get<std::string>();
  for (const auto& entry : file_["cases"]) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    const auto tokenizer = parse_tokenizer(with_patch(bases_.at(entry["base"]), entry["patch"]).dump());
    if (tokenizer->safe_cut(text, text.size() / 2) < text.size()) EXPECT_EQ(tokenizer->encode_parallel(text, 3), tokenizer->encode(text));
  }
}

TEST_F(TokenizerComponents, BrokenCharactersDecodeAsTheOracleDoes) {
  for (const auto& entry : file_["decoded"]) {
    SCOPED_TRACE(entry["patch"].dump());
    const auto tokenizer = parse_tokenizer(with_patch(bases_.at("gpt2"), entry["patch"]).dump());
    for (const auto& result : entry["results"]) EXPECT_EQ(tokenizer->decode(result[0].get<Ids>()), result[1].get<std::string>());
  }
}

TEST(SplitRules, EveryCodePointBelongsToTheScriptOfTheOracle) {  // tools/unicode_tables.py
  std::string text, ends;
  std::vector<std::size_t> numbers(1);  // of the character that ends before a byte
  std::size_t count = 0;
  const auto put = [&](char32_t c) {
    append_utf8(text, c);
    numbers.resize(text.size() + 1, ++count);
  };
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    for (const auto each : {U'a', c, U'\u0431', c}) put(each);
  }
  split_scripts(text, [&](std::string_view word) {
    const auto end = static_cast<std::size_t>(word.data() - text.data()) + word.size();
    ends += (ends.empty() ? "" : ",") + std::to_string(numbers[end]);
  });
  EXPECT_EQ(sha256_hex(ends), golden("unicode.json")["scripts_sha256"]);
}

TEST(WordLevelTokenizer, AnUnknownWordWithoutATokenForItIsAnError) {
  const auto tokenizer = parse_tokenizer(
      R"({"pre_tokenizer": {"type": "WhitespaceSplit"}, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"}})");
  EXPECT_EQ(tokenizer->encode("a a"), (Ids{0, 0}));
  EXPECT_THROW(tokenizer->encode("a b"), InputError);
}

}  // namespace
}  // namespace isotrope

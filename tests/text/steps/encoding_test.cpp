// Encodings against Hugging Face tokenizers: tools/oracles/encoding_goldens.py made the file.
#include "isotrope/text/steps/encoding.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/text/tokenizer.h"
#include "tests/text/golden_files.h"
#include "tests/text/random_text.h"

namespace isotrope {
namespace {

using nlohmann::json;
using tests::golden;
using tests::golden_path;

std::shared_ptr<const Tokenizer> patched(const std::string& base, const json& patch) {
  auto description = golden(base + ".tokenizer.json");
  for (const auto& [path, value] : patch.items()) description[json::json_pointer("/" + path)] = value;
  return parse_tokenizer(description.dump());
}

std::vector<std::uint32_t> flat(const std::vector<TextRange>& ranges) {
  std::vector<std::uint32_t> numbers;
  for (const auto& [begin, end] : ranges) numbers.push_back(begin), numbers.push_back(end);
  return numbers;
}

/// In the order of the golden file's `fields`.
json fields(const Encoding& encoding) {
  json result{encoding.ids,   encoding.tokens,      flat(encoding.offsets), encoding.types,
              encoding.words, encoding.sequences(), encoding.special,       encoding.attention};
  if (encoding.overflowing.empty()) return result;
  auto overflowing = json::array();
  for (const auto& part : encoding.overflowing) overflowing.push_back(fields(part));
  result.push_back(std::move(overflowing));
  return result;
}

void expect_fields(const Encoding& encoding, const json& expected, const json& names) {
  const auto ours = fields(encoding);
  EXPECT_EQ(ours.size(), expected.size());
  for (std::size_t i = 0; i < std::min(ours.size(), expected.size()); ++i) EXPECT_EQ(ours[i].dump(), expected[i].dump()) << names[i];
}

Truncation truncation_of(const json& entry) {
  const auto strategy = entry["strategy"].get<std::string>();
  return {.strategy = strategy == "only_first"    ? Truncation::Strategy::only_first
                      : strategy == "only_second" ? Truncation::Strategy::only_second
                                                  : Truncation::Strategy::longest_first,
          .side = entry["direction"] == "left" ? Truncation::Side::left : Truncation::Side::right,
          .max_length = entry["max_length"],
          .stride = entry["stride"]};
}

Padding padding_of(const json& entry) {
  Padding padding;
  if (entry.contains("length")) padding.length = entry["length"].get<std::size_t>();
  padding.side = entry.value("direction", "right") == "left" ? Padding::Side::left : Padding::Side::right;
  padding.multiple_of = entry.value("pad_to_multiple_of", std::size_t{0});
  padding.id = entry.value("pad_id", 0);
  padding.type = entry.value("pad_type_id", 0);
  padding.token = entry.value("pad_token", "[PAD]");
  return padding;
}

TEST(Encodings, EveryFieldEqualsTheOracles) {
  const auto file = golden("encodings.json");
  for (const auto& test : file["cases"]) {
    const auto tokenizer = patched(test["base"], test["patch"]);
    for (const auto& entry : test["encodings"]) {
      SCOPED_TRACE(test["name"].get<std::string>() + ": " + entry.dump().substr(0, 200));
      const auto first = entry["first"].get<std::string>(),
                 second = entry.contains("second") && entry["second"].is_string() ? entry["second"].get<std::string>() : "";
      const TextPair texts{
          first, entry.contains("second") && entry["second"].is_string() ? std::optional<std::string_view>(second) : std::nullopt};
      EncodingOptions options{.add_special_tokens = entry.value("special", true)};
      if (entry.contains("truncation") && entry["truncation"].is_object()) options.truncation = truncation_of(entry["truncation"]);
      if (entry.contains("padding") && entry["padding"].is_object()) options.padding = padding_of(entry["padding"]);
      if (entry.contains("refused")) EXPECT_THROW(tokenizer->encode_full(texts, options), UsageError);
      else expect_fields(tokenizer->encode_full(texts, options), entry["result"], file["fields"]);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(Encodings, ABatchIsPaddedTogetherWhateverTheThreads) {
  const auto batch = golden("encodings.json")["batch"];
  const auto tokenizer = patched("word_piece", json::object());
  std::vector<std::vector<std::string>> owned = batch["inputs"];
  std::vector<TextPair> texts;
  for (const auto& texts_of_one : owned)
    texts.push_back({texts_of_one[0], texts_of_one.size() > 1 ? std::optional<std::string_view>(texts_of_one[1]) : std::nullopt});
  for (const int threads : {1, 2, 7}) {
    const auto encodings =
        tokenizer->encode_full_batch(texts, threads, {.truncation = Truncation{.max_length = 8, .stride = 1}, .padding = Padding{}});
    ASSERT_EQ(encodings.size(), texts.size());
    for (std::size_t i = 0; i < encodings.size(); ++i) expect_fields(encodings[i], batch["results"][i], golden("encodings.json")["fields"]);
  }
}

TEST(Encodings, TheIdsAreThoseOfTheFastWay) {
  RandomStream random(11, "encodings");
  std::vector<std::string> texts;
  for (int i = 0; i < 12; ++i) texts.push_back(tests::random_text(random, 400));
  std::vector<std::string_view> views(texts.begin(), texts.end());
  const auto file = golden("encodings.json");
  for (const auto& test : file["cases"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const auto tokenizer = patched(test["base"], test["patch"]);
    const auto ids = tokenizer->encode_batch(views, 3);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto encoding = tokenizer->encode_full({texts[i]}, {});
      EXPECT_EQ(encoding.ids, ids[i]);
      EXPECT_EQ(tokenizer->encode(texts[i]), ids[i]);
      const EncodeOptions unparsed{.add_special_tokens = false, .parse_special_tokens = false};
      EXPECT_EQ(tokenizer->encode_full({texts[i]}, {.add_special_tokens = false, .parse_special_tokens = false}).ids,
                tokenizer->encode(texts[i], unparsed));
      const auto pair = tokenizer->encode_full({texts[i], texts[0]}, {.truncation = Truncation{.max_length = 31}});
      const auto sequence = tokenizer->encode_pair(texts[i], texts[0], {.max_length = 31});
      EXPECT_EQ(pair.ids, sequence.ids);
      EXPECT_EQ(pair.types, sequence.types);
    }
  }
}

TEST(Encodings, ByteOffsetsAreThoseOfTheTextAsItWasGiven) {
  const auto tokenizer = patched("bytes", json::object());
  const auto encoding = tokenizer->encode_full({"a\xFF"
                                                "é\xE2\x82z"},
                                               {});  // U+FFFD for one byte, and for two
  EXPECT_EQ(encoding.ids, (std::vector<TokenId>{97, 239, 191, 189, 195, 169, 239, 191, 189, 122}));
  EXPECT_EQ(flat(encoding.offsets), (std::vector<std::uint32_t>{0, 1, 1, 2, 1, 2, 1, 2, 2, 3, 2, 3, 3, 4, 3, 4, 3, 4, 4, 5}));
  EXPECT_EQ(flat(encoding.byte_offsets), (std::vector<std::uint32_t>{0, 1, 1, 2, 1, 2, 1, 2, 2, 4, 2, 4, 4, 6, 4, 6, 4, 6, 6, 7}));
  EXPECT_EQ(tokenizer->encode_full({""}, {}).size(), 0u);
}

TEST(Encodings, TheFilesTruncationAndPaddingAreThereForWhoAsks) {
  auto description = golden("word_piece.tokenizer.json");
  EXPECT_FALSE(parse_tokenizer(description.dump())->own_truncation());
  EXPECT_FALSE(parse_tokenizer(description.dump())->own_padding());
  description["truncation"] = {{"direction", "Left"}, {"max_length", 4}, {"strategy", "OnlySecond"}, {"stride", 2}};
  description["padding"] = {
      {"strategy", {{"Fixed", 12}}}, {"direction", "Left"}, {"pad_to_multiple_of", 8}, {"pad_id", 3}, {"pad_type_id", 1},
      {"pad_token", "[X]"}};
  const auto tokenizer = parse_tokenizer(description.dump());
  const auto truncation = tokenizer->own_truncation();
  ASSERT_TRUE(truncation);
  EXPECT_EQ(truncation->strategy, Truncation::Strategy::only_second);
  EXPECT_EQ(truncation->side, Truncation::Side::left);
  EXPECT_EQ(truncation->max_length, 4u);
  EXPECT_EQ(truncation->stride, 2u);
  const auto padding = tokenizer->own_padding();
  ASSERT_TRUE(padding);
  const auto encoding = tokenizer->encode_full({"the river"}, {.padding = padding});
  EXPECT_EQ(encoding.ids,
            (std::vector<TokenId>{3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2, *tokenizer->find("the"), *tokenizer->find("river"), 3}));
  EXPECT_EQ(encoding.tokens[0], "[X]");
  EXPECT_EQ(encoding.types[0], 1);
  EXPECT_EQ(encoding.attention[11], 0);
  EXPECT_EQ(encoding.attention[12], 1);
  EXPECT_EQ(tokenizer->encode("the river").size(), 4u);  // who asks only for ids gets them all, and no more
}

TEST(AlignedTexts, WhatReplacesACharacterHasItsPlaceAndWhatIsInsertedThatOfTheOneBefore) {
  AlignedText text("aé\u4E2Dz");
  const auto ranges = [&] {
    std::vector<TextRange> all;
    for (std::size_t i = 0; i < text.text().size(); ++i) all.push_back(text.view().ranges[i]);
    return flat(all);
  };
  EXPECT_EQ(ranges(), (std::vector<std::uint32_t>{0, 1, 1, 2, 1, 2, 2, 3, 2, 3, 2, 3, 3, 4}));
  text.transform(std::vector<CharacterChange>{{'b', 0}, {'c', 1}, {'e', -1}, {'z', 0}});
  EXPECT_EQ(text.text(), "bcez");
  EXPECT_EQ(ranges(), (std::vector<std::uint32_t>{0, 1, 0, 1, 1, 2, 3, 4}));
  text.prepend("é");
  text.append("!");
  EXPECT_EQ(text.text(), "ébcez!");
  EXPECT_EQ(ranges(), (std::vector<std::uint32_t>{0, 1, 0, 1, 0, 1, 0, 1, 1, 2, 3, 4, 3, 4}));
  text.replace("ce", "xyz");
  EXPECT_EQ(text.text(), "ébxyzz!");
  EXPECT_EQ(ranges(), (std::vector<std::uint32_t>{0, 1, 0, 1, 0, 1, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4}));
  text.filter([](char32_t c) { return c != 'b' && c != '!'; });
  text.strip(2, 1);
  EXPECT_EQ(text.text(), "xyz");
  EXPECT_EQ(ranges(), (std::vector<std::uint32_t>{1, 2, 1, 2, 1, 2}));
  EXPECT_EQ(text.view().slice(text.text().substr(1)).base, 1u);
  EXPECT_EQ(text.view().slice(text.text().substr(1)).range(0, 2), (TextRange{1, 2}));
}

}  // namespace
}  // namespace isotrope

// SentencePiece models and tokenizer.json's Unigram against sentencepiece and HF tokenizers: tools/oracles/unigram_goldens.py made the files.
#include "isotrope/text/models/unigram.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"
#include "isotrope/text/encode_parts.h"
#include "isotrope/text/steps/encoding.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/text/unicode/utf8.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using Ids = std::vector<TokenId>;
using nlohmann::json;
using tests::golden;
using tests::golden_path;

constexpr EncodeOptions plain{.add_special_tokens = false, .parse_special_tokens = false};

std::map<std::string, std::string> samples(const json& file) { return file["samples"]; }

void expect_as_sentencepiece(const Tokenizer& tokenizer, const json& expected, const std::map<std::string, std::string>& texts) {
  for (const auto& entry : expected["texts"]) {
    const auto& text = texts.at(entry["name"]);
    SCOPED_TRACE(text);
    const auto ids = tokenizer.encode(text, plain);
    EXPECT_EQ(ids, entry["ids"].get<Ids>());
    EXPECT_EQ(tokenizer.decode(ids, {.skip_special_tokens = true}), entry["decoded"]);
  }
  for (const auto& entry : expected["decodes"])
    EXPECT_EQ(tokenizer.decode(entry["ids"].get<Ids>(), {.skip_special_tokens = true}), entry["decoded"]) << entry["ids"];
}

TEST(SentencePieceModel, IdsAndTextEqualSentencePieces) {
  const auto file = golden("unigram.json");
  ASSERT_EQ(file["sentencepiece"].size(), 6u);
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    SCOPED_TRACE(name);
    expect_as_sentencepiece(*load_tokenizer(golden_path(name + ".model")), expected, samples(file));
  }
}

TEST(SentencePieceModel, SavedAndLoadedItIsTheSame) {
  const auto file = golden("unigram.json");
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    SCOPED_TRACE(name);
    const test::TemporaryFolder folder;
    const auto original = load_tokenizer(golden_path(name + ".model"));
    original->save(folder.path());
    const auto copy = load_tokenizer(folder.path());
    EXPECT_EQ(copy->fingerprint(), original->fingerprint());
    expect_as_sentencepiece(*copy, expected, samples(file));
  }
}

/// One text after another without the memory of earlier ones must not differ from all in a row, nor from one long text of many words.
TEST(SentencePieceModel, WhatIsRememberedChangesNothing) {
  const auto file = golden("unigram.json");
  const auto texts = samples(file);
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    const auto warm = load_tokenizer(golden_path(name + ".model"));
    std::string all;
    for (int round = 0; round < 3; ++round)
      for (const auto& [key, text] : texts) all += text + " ", (void)warm->encode(text, plain);
    EXPECT_EQ(warm->encode(all, plain), load_tokenizer(golden_path(name + ".model"))->encode(all, plain)) << name;
  }
}

/// encode() cuts raw text and remembers the parts, encode_full() spells the whole of it and looks for the best way through all.
TEST(SentencePieceModel, WhereTextIsCutChangesNothing) {
  const auto file = golden("unigram.json");
  const std::vector<std::string> parts{"the",    "river",  " ",  " ",      "  ",     "\n",     "\t",     "\r\n",      ",", ".",
                                       ",",      "!",      "'s", "-",      "...",    "qu",     "\u5DDD", "e\u0301",   "e", "\u00e9",
                                       "\u0301", "\u0431", "\"", "(",      ")",      "\u2581", "<sep>",  "7",         "=", "\u0338",
                                       "\u00bd", "a",      "b",  "\u3000", "\u4e00", "\u200b", "A",      "\U0001F600"};
  RandomStream random(7, "test");
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    const auto tokenizer = load_tokenizer(golden_path(name + ".model"));
    for (int round = 0; round < 3000; ++round) {
      std::string text;
      for (auto count = random.below(24); count > 0; --count) text += parts[random.below(parts.size())];
      ASSERT_EQ(tokenizer->encode(text, plain),
                tokenizer->encode_full({text}, {.add_special_tokens = false, .parse_special_tokens = false}).ids)
          << name << ' ' << json(text).dump(-1, ' ', true);
    }
  }
}

void expect_as_hf(const Tokenizer& tokenizer, const json& expected, const std::map<std::string, std::string>& texts) {
  for (const auto& entry : expected) {
    const auto& text = texts.at(entry["name"]);
    SCOPED_TRACE(text);
    for (int round = 0; round < 2; ++round) {  // the second time from memory
      const auto ids = tokenizer.encode(text);
      EXPECT_EQ(ids, entry["ids"].get<Ids>());
      EXPECT_EQ(tokenizer.decode(ids), entry["decoded"]);
    }
  }
}

TEST(UnigramTokenizer, IdsAndTextEqualHfTokenizers) {
  const auto file = golden("unigram.json");
  const auto tokenizer = load_tokenizer(golden_path("unigram.tokenizer.json"));
  expect_as_hf(*tokenizer, file["tokenizers"]["texts"], samples(file));
  const test::TemporaryFolder folder;
  tokenizer->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), tokenizer->fingerprint());
}

TEST(UnigramTokenizer, VariantsEqualHfTokenizers) {
  const auto file = golden("unigram.json"), base = golden("unigram.tokenizer.json");
  for (const auto& variant : file["tokenizers"]["variants"]) {
    SCOPED_TRACE(variant["name"].get<std::string>());
    auto description = base;
    for (const auto& [path, value] : variant["patch"].items()) description[json::json_pointer("/" + path)] = value;
    expect_as_hf(*parse_tokenizer(description.dump()), variant["texts"], samples(file));
  }
}

TEST(UnigramTokenizer, OffsetsEqualHfTokenizers) {
  const auto file = golden("unigram.json");
  const auto texts = samples(file);
  const auto tokenizer = load_tokenizer(golden_path("unigram.tokenizer.json"));
  for (const auto& entry : file["tokenizers"]["texts"]) {
    SCOPED_TRACE(texts.at(entry["name"]));
    const auto encoding = tokenizer->encode_full({texts.at(entry["name"])}, {});
    EXPECT_EQ(encoding.ids, entry["ids"].get<Ids>());
    json offsets = json::array();
    for (const auto& range : encoding.offsets) offsets.push_back({range.begin, range.end});
    EXPECT_EQ(offsets, entry["offsets"]);
  }
}

/// What comes with ids is the same with offsets, and lies in the text in order.
TEST(SentencePieceModel, OffsetsCoverTheText) {
  const auto file = golden("unigram.json");
  for (const auto& [name, expected] : file["sentencepiece"].items()) {
    const auto tokenizer = load_tokenizer(golden_path(name + ".model"));
    for (const auto& [key, text] : samples(file)) {
      const auto encoding = tokenizer->encode_full({text}, {});
      EXPECT_EQ(encoding.ids, tokenizer->encode(text)) << name << ' ' << text;
      std::uint32_t last = 0;
      for (const auto& range : encoding.offsets) {
        EXPECT_LE(range.begin, range.end);
        EXPECT_LE(last, range.end);
        last = range.end;
      }
    }
  }
}

TEST(UnigramTokenizer, ThreadsChangeNothing) {
  const auto file = golden("unigram.json");
  const auto tokenizer = load_tokenizer(golden_path("unigram.tokenizer.json"));
  std::string text;
  for (int round = 0; round < 30; ++round)
    for (const auto& [name, sample] : samples(file)) text += sample + " the river ";
  ASSERT_GT(text.size(), 200'000u);
  EXPECT_EQ(tokenizer->encode_parallel(text, 3), tokenizer->encode(text));
}

TEST(UnigramTokenizer, BrokenModelsAreNamed) {
  const auto base = golden("unigram.tokenizer.json");
  const auto error = [&](const char* path, const json& value) {
    auto description = base;
    description[json::json_pointer(path)] = value;
    try {
      parse_tokenizer(description.dump(), {}, "f")->encode("川");
    } catch (const InputError& error) {
      return error.message();
    }
    return std::string("no error");
  };
  EXPECT_EQ(error("/model/unk_id", 0), "no error");
  EXPECT_EQ(error("/model/unk_id", 300), "f: unk_id is 300, but there are 300 pieces");
  EXPECT_EQ(error("/model/unk_id", nullptr), "f: \"川\" is no piece, and the model has no unk_id");
  EXPECT_EQ(error("/model/vocab/5", json::array({"a"})), "f: model.vocab: piece 5: expected [text, score], got [\"a\"]");
  EXPECT_EQ(error("/model/vocab/5/1", "a"), "f: model.vocab: piece 5: expected [text, score], got [\"qu\",\"a\"]");
  EXPECT_EQ(error("/model/vocab/5/0", std::string(8000, 'a')), "f: piece 5 has 8000 bytes, the limit is 8000");
  EXPECT_EQ(error("/model/vocab/5/1", 1e40), "f: piece 5 has the score 1e+40, out of range");
  EXPECT_EQ(error("/normalizer/normalizers/0/precompiled_charsmap", "abc"), "f: precompiled_charsmap: it is not base 64");
  EXPECT_EQ(error("/normalizer/normalizers/0/precompiled_charsmap", "AAAA"), "f: precompiled_charsmap: it is cut off");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 301}, {"content", "<new>"}}})), "no error");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 299}, {"content", "<new>"}}})),
            "f: tokens \"" + base["model"]["vocab"][299][0].get<std::string>() + "\" and \"<new>\" have the same id 299");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 400'000}, {"content", "<new>"}}})),
            "f: added token \"<new>\" has id 400000, but beside 300 pieces ids must be below 262746");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 300}, {"content", "<new>"}}})), "no error");
  EXPECT_EQ(error("/added_tokens", json::array({{{"id", 7}, {"content", "<sep>"}}})),
            "f: added token \"<sep>\" has id 7, and 4 in the vocabulary");
}

constexpr const char* three_pieces = R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["\u2581", -1], ["a", -2]],
  "sentencepiece": {"unknown": [0]}}})";

TEST(SentencePieceModel, RoomForIdsIsLittleMoreThanTheyNeed) {
  const auto tokenizer = parse_tokenizer(three_pieces);
  std::string even = "xa";
  for (int i = 0; i < 200'000; ++i) even += " a";
  const auto ids = tokenizer->encode(even, plain);
  EXPECT_EQ(ids.size(), 400'003u);
  EXPECT_LT(ids.capacity(), ids.size() + ids.size() / 5 + 4096);
  const auto dense = tokenizer->encode(std::string(3000, 'x') + std::string(3000, 'a') + std::string(1'000'000, ' '), plain);
  EXPECT_LT(dense.capacity(), 1'100'000u);
}

TEST(SentencePieceModel, AnUnkIdThatIsSearchedForAndAnEmptyPieceAreErrors) {
  auto description = json::parse(three_pieces);
  const auto message = [&] {
    try {
      (void)parse_tokenizer(description.dump());
    } catch (const InputError& error) {
      return std::string(error.message());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message(), "no error");
  description["model"]["unk_id"] = 2;
  EXPECT_EQ(message(), "tokenizer.json: sentencepiece: piece 2 is the unk_id, but not among the unknown ones");
  description["model"]["unk_id"] = 0;
  description["model"]["vocab"].push_back({"", -1});
  EXPECT_EQ(message(), "tokenizer.json: sentencepiece: piece 3 is empty");
}

/// Parts one by one, cold and warm, against the whole, where sums go beyond 100,000 and unknown characters are among the parts.
TEST(SentencePieceModel, LongTextsInPartsAreAsTheWhole) {
  auto description = json::parse(three_pieces);
  RandomStream random(9, "test");
  auto& vocabulary = description["model"]["vocab"];
  std::vector<std::string> letters{"a", "b", "c", "?", "!"};  // the last two are no pieces
  for (char32_t c = 0x4E00; c < 0x4F00; ++c) {
    letters.emplace_back();
    append_utf8(letters.back(), c);
  }
  // A longer piece has the score of its letters and very little: the sum so far decides which way is better.
  std::vector<std::string> tied;  // words that are such pieces
  std::map<std::string, double> scores{{"a", -2}, {"\u2581", -1}, {"?", -9}, {"!", -9}};
  const auto draw = [&](double from) { return from - static_cast<double>(random.below(1'000'000)) / 1e6; };
  for (const auto& letter : letters)
    if (!scores.contains(letter)) vocabulary.push_back({letter, scores[letter] = draw(-6)});
  for (int i = 0; i < 300; ++i) {
    std::string piece = i % 2 == 0 ? "\u2581" : "";
    double score = i % 2 == 0 ? -1 : 0;
    for (auto count = 2 + random.below(3); count > 0; --count) {
      const auto& letter = letters[random.below(i % 3 == 0 ? 3 : letters.size())];
      piece += letter;
      score += scores.at(letter);
    }
    vocabulary.push_back({piece, score + (static_cast<double>(random.below(21)) - 10) * 2e-4});
    if (i % 2 == 0) tied.push_back(piece.substr(3));
  }
  const std::string user_defined(201, 'z');  // with a score of 20, so that sums can be above 0
  for (const std::string_view kind : {"unknown", "bytes", "user-defined pieces"}) {
    if (kind == "bytes") {
      description["model"]["byte_fallback"] = true;
      for (int byte = 0; byte < 256; ++byte) {
        description["model"]["sentencepiece"]["byte"].push_back(vocabulary.size());
        vocabulary.push_back({fmt::format("<0x{:02X}>", byte), 0});
      }
    }
    const bool has_user_defined = kind == "user-defined pieces";
    if (has_user_defined) {
      description["model"]["sentencepiece"]["user_defined"].push_back(vocabulary.size());
      vocabulary.push_back({user_defined, 0});
      description["added_tokens"].push_back({{"id", vocabulary.size()}, {"content", "<sep>"}, {"special", true}});
    }
    const auto tokenizer = parse_tokenizer(description.dump());
    for (int round = 0; round < 12; ++round) {
      const auto some = [&](std::size_t count, std::size_t kinds) {
        std::string word;
        for (; count > 0; --count) word += letters[random.below(kinds)];
        return word;
      };
      std::string text;
      if (round % 3 == 1) text = some(50'000, 5) + ' ';  // a sum far from 0 before the first part that is remembered
      for (int i = 0; i < 6000; ++i) {
        const bool rises = has_user_defined && round % 2 == 0;
        text += rises || i < 40 || i % 5 == 0 ? tied[random.below(tied.size())]
                                              : some(1 + random.below(6), round % 2 == 0 ? 8 : letters.size());
        if (i % 700 == 0) text += std::string(130 + random.below(2), '?');  // more numbers than are added up at a time, with bytes
        if (i % 900 == 450) text += some(300, 3);                           // more than is remembered
        if (rises || (has_user_defined && i % 10 == 0)) text += user_defined;
        if (has_user_defined && i % 1500 == 0) text += "<sep>" + some(2, 3);
        text += ' ';
      }
      const EncodeOptions how{.add_special_tokens = false, .parse_special_tokens = has_user_defined};
      ASSERT_EQ(tokenizer->encode(text, how),
                tokenizer->encode_full({text}, {.add_special_tokens = false, .parse_special_tokens = has_user_defined}).ids)
          << kind;
      if (round % 4 != 1) continue;
      while (text.size() < 3 * EncodeParts::part_size) text += text;
      ASSERT_EQ(tokenizer->encode_parallel(text, 3, how), tokenizer->encode(text, how)) << kind;
    }
  }
}

/// What the definition says, without any table: the best sum over all cuts, in double.
double best_sum(const std::map<std::string, double>& pieces, const std::string& text, std::size_t at, std::vector<double>& known) {
  if (at == text.size()) return 0;
  if (!std::isnan(known[at])) return known[at];
  double best = -1e300;
  for (std::size_t length = 1; at + length <= text.size(); ++length)
    if (const auto found = pieces.find(text.substr(at, length)); found != pieces.end())
      best = std::max(best, found->second + best_sum(pieces, text, at + length, known));
  return known[at] = best;
}

TEST(UnigramTokenizer, FindsTheBestSum) {
  RandomStream random(2, "test");
  for (int round = 0; round < 50; ++round) {
    std::map<std::string, double> pieces{{"a", -3}, {"b", -3.5}, {"c", -2}};
    while (pieces.size() < 40) {
      std::string piece;
      for (auto size = 2 + random.below(5); size > 0; --size) piece += "abc"[random.below(3)];
      pieces[piece] = -1 - static_cast<double>(random.below(1000)) / 64;
    }
    json vocabulary = json::array({json::array({"<unk>", 0})});
    std::vector<double> scores{0};
    for (const auto& [piece, score] : pieces) vocabulary.push_back({piece, score}), scores.push_back(score);
    const auto tokenizer = parse_tokenizer(
        json{{"model", {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", vocabulary}}}, {"decoder", {{"type", "Fuse"}}}}.dump());
    for (int i = 0; i < 20; ++i) {
      std::string text;
      for (auto size = 1 + random.below(300); size > 0; --size) text += "abc"[random.below(3)];
      const auto ids = tokenizer->encode(text);
      EXPECT_EQ(tokenizer->decode(ids), text);
      double sum = 0;
      for (const auto id : ids) sum += scores[static_cast<std::size_t>(id)];
      std::vector<double> known(text.size(), std::nan(""));
      EXPECT_DOUBLE_EQ(sum, best_sum(pieces, text, 0, known));
    }
  }
}

TEST(SentencePieceModelSlow, LongTextsTakeTimeInProportion) {
  for (const char* name : {"unigram", "unigram_bytes", "unigram_suffix", "bpe_mapped", "bpe_tied"}) {
    const auto tokenizer = load_tokenizer(golden_path(std::string(name) + ".model"));
    const auto json_tokenizer = load_tokenizer(golden_path("unigram.tokenizer.json"));
    for (const std::string part : {"a", "\u2581", "ab", " ", "the", "\u5DDD", "e\u0301", "\u0301", "qu"}) {
      const auto seconds = [&](std::size_t count) {
        std::string text;
        for (std::size_t i = 0; i < count; ++i) text += part;
        const auto start = std::chrono::steady_clock::now();
        (void)tokenizer->encode(text, plain);
        (void)json_tokenizer->encode(text);
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      };
      (void)seconds(1000);
      EXPECT_LT(seconds(1'000'000), 40 * seconds(100'000) + 0.5) << name << ' ' << part;
      EXPECT_LT(seconds(1'000'000), 20) << name << ' ' << part;
    }
  }
}

}  // namespace
}  // namespace isotrope

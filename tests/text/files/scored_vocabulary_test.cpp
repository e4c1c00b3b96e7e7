// Vocabularies whose merges go by score, against sentencepiece: tools/oracles/tokenizer_kinds_goldens.py made the files.
#include "isotrope/text/files/scored_vocabulary.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"
#include "isotrope/text/pipeline.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using Ids = std::vector<TokenId>;
using Type = ScoredVocabulary::Type;
using tests::error_of;
using tests::golden;
using tests::golden_path;

TEST(ScoredVocabulary, IdsEqualSentencePieces) {
  const auto file = golden("scored.json");
  for (const char* name : {"scored.model", "scored.tokenizer.bin"}) {
    const auto tokenizer = load_tokenizer(golden_path(name));
    EXPECT_EQ(tokenizer->bos(), 1);
    EXPECT_EQ(tokenizer->eos(), 2);
    EXPECT_EQ(tokenizer->unk(), 0);
    for (const auto& entry : file["texts"]) {
      SCOPED_TRACE(entry["text"].get<std::string>());
      const EncodeOptions plain{.add_special_tokens = false, .parse_special_tokens = false};
      const auto ids = tokenizer->encode(entry["text"].get<std::string>(), plain);
      EXPECT_EQ(ids, entry["ids"].get<Ids>());
      auto with_bos = ids;
      with_bos.insert(with_bos.begin(), 1);
      EXPECT_EQ(tokenizer->encode(entry["text"].get<std::string>(), {.parse_special_tokens = false}), with_bos);
    }
  }
  EXPECT_EQ(load_tokenizer(golden_path("scored.model"))->fingerprint(), load_tokenizer(golden_path("scored.tokenizer.bin"))->fingerprint());
}

TEST(ScoredVocabulary, SavedAndLoadedItIsTheSame) {
  const test::TemporaryFolder folder;
  const auto original = load_tokenizer(golden_path("scored.model"));
  original->save(folder.path());
  const auto copy = load_tokenizer(folder.path());
  EXPECT_EQ(copy->fingerprint(), original->fingerprint());
  EXPECT_EQ(copy->bos(), original->bos());
  EXPECT_EQ(copy->unk(), original->unk());
}

/// What the definition says: of all neighbours that are a piece together, those of the highest score merge first, the leftmost of equals.
Ids merge_by_definition(const ScoredVocabulary& vocabulary, std::string_view text) {
  const auto find = [&](const std::string& piece) -> std::size_t {
    for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id)
      if (vocabulary.pieces[id].text == piece) return id;
    return vocabulary.pieces.size();
  };
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  for (;;) {
    std::size_t best = 0, best_id = vocabulary.pieces.size();
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto id = find(symbols[i] + symbols[i + 1]);
      if (id == vocabulary.pieces.size()) continue;
      if (best_id == vocabulary.pieces.size() || vocabulary.pieces[id].score > vocabulary.pieces[best_id].score) best = i, best_id = id;
    }
    if (best_id == vocabulary.pieces.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Ids ids;
  for (const auto& symbol : symbols) ids.push_back(static_cast<TokenId>(find(symbol)));
  return ids;
}

TEST(ScoredVocabulary, OverlappingPiecesMergeFromTheLeft) {
  RandomStream random(3, "test");
  for (int round = 0; round < 300; ++round) {
    ScoredVocabulary vocabulary{.add_dummy_prefix = false};
    std::set<std::string> seen{"<unk>", "a", "b"};
    vocabulary.pieces = {{"<unk>", 0, Type::unknown}, {"a", 0}, {"b", -1}};
    while (vocabulary.pieces.size() < 14) {  // as training goes: a piece is two earlier ones
      const auto part = [&] { return vocabulary.pieces[1 + random.below(vocabulary.pieces.size() - 1)].text; };
      const auto text = part() + part();
      if (text.size() > 9 || !seen.insert(text).second) continue;
      vocabulary.pieces.push_back({text, -static_cast<float>(vocabulary.pieces.size())});
    }
    const auto tokenizer = make_tokenizer(define_tokenizer(vocabulary));
    for (int i = 0; i < 30; ++i) {
      std::string text;
      for (auto size = 1 + random.below(40); size > 0; --size) text += "ab"[random.below(2)];
      EXPECT_EQ(tokenizer->encode(text), merge_by_definition(vocabulary, text)) << text;
    }
  }
}

TEST(ScoredVocabulary, WhatMakesNoVocabularyIsNamed) {
  const auto error = [](const std::function<void(ScoredVocabulary&)>& change) {
    ScoredVocabulary vocabulary{.pieces = {{"<unk>", 0, Type::unknown}, {"<s>", 0, Type::control}, {"a", -1}, {"b", -2}, {"ab", -3}},
                                .file = "f"};
    change(vocabulary);
    return error_of([&] { make_tokenizer(define_tokenizer(vocabulary)); });
  };
  EXPECT_EQ(error([](auto&) {}), "no error");
  EXPECT_EQ(error([](auto& v) { v.pieces.clear(); }), "f: 0 pieces make no vocabulary");
  EXPECT_EQ(error([](auto& v) { v.pieces[2].text = ""; }), "f: piece 2: it is empty");
  EXPECT_EQ(error([](auto& v) { v.pieces[2].text = "\xFF"; }), "f: piece 2: it is not UTF-8");
  EXPECT_EQ(error([](auto& v) { v.pieces[3].score = std::numeric_limits<float>::quiet_NaN(); }), "f: piece 3: its score is no number");
  EXPECT_EQ(error([](auto& v) { v.pieces[3].text = "a"; }), "f: piece 3: \"a\" is an earlier piece, too");
  EXPECT_EQ(error([](auto& v) { v.pieces[3].type = static_cast<Type>(7); }), "f: piece 3: its type is none of 1 to 6");
  EXPECT_EQ(error([](auto& v) { v.pieces[3].type = Type::byte; }), "f: piece 3: a byte piece must be spelled <0x00> to <0xFF>");
  EXPECT_EQ(error([](auto& v) { v.pieces.push_back({"<0x41>", 0, Type::byte}); }), "f: 1 byte pieces: expected none or 256");
  EXPECT_EQ(error([](auto& v) { v.pieces[3].type = Type::user_defined; }),
            "f: piece 3: user-defined pieces beside a dummy prefix are not supported");
  EXPECT_EQ(error([](auto& v) { v.pieces[4].type = Type::unused; }),
            "f: piece 4: the unused piece \"ab\" is two others joined, which is not supported");
  EXPECT_EQ(error([](auto& v) { v.special.bos = 9; }), "f: the first token of a text has id 9, but there are 5 pieces");
}

TEST(ScoredVocabulary, UserDefinedPiecesAreTakenWhole) {
  ScoredVocabulary vocabulary{.pieces = {{"<unk>", 0, Type::unknown}, {"a", -1}, {"b", -2}, {"ab", -3}, {"bab", 0, Type::user_defined}},
                              .add_dummy_prefix = false};
  EXPECT_EQ(make_tokenizer(define_tokenizer(vocabulary))->encode("ababab"), (Ids{1, 4, 3}));
}

TEST(ScoredVocabulary, TruncatedFilesAreErrorsAtEveryLength) {
  for (const auto& [name, read] :
       {std::pair{"scored.model", &read_sentencepiece_model}, std::pair{"scored.tokenizer.bin", &read_llama2c_vocabulary}}) {
    const auto bytes = read_file(golden_path(name), "test");
    EXPECT_EQ(error_of([&] { define_tokenizer(read(bytes, "f")); }), "no error");
    for (std::size_t size = 0; size < bytes.size(); size += size < 100 ? 1 : 41) {
      const auto message = error_of([&] { define_tokenizer(read(std::string_view(bytes).substr(0, size), "f")); });
      EXPECT_TRUE(message == "no error" || message.starts_with("f: ")) << message;
      EXPECT_TRUE(size >= 16 || message != "no error") << size;  // <unk> alone is a unigram model
    }
  }
}

TEST(ScoredVocabulary, ModelsThatDoMoreAreRefusedByName) {
  const auto model = read_file(golden_path("scored.model"), "test");
  // A later field of a message counts: trainer_spec { model_type: UNIGRAM }, normalizer_spec { … } behind the model.
  const auto error = [&](std::string_view fields) {
    return error_of([&] { make_tokenizer(define_tokenizer(read_sentencepiece_model(model + std::string(fields), "f"))); });
  };
  EXPECT_EQ(error(""), "no error");
  EXPECT_EQ(error("\x12\x02\x18\x01"), "no error");
  EXPECT_EQ(error("\x12\x02\x18\x03"), "f: a SentencePiece model of type WORD is not supported");
  EXPECT_EQ(error("\x1a\x03\x12\x01x"), "f: precompiled_charsmap: it is cut off");
  EXPECT_EQ(error("\x2a\x03\x12\x01x"), "f: a SentencePiece model that changes decoded text (denormalizer_spec) is not supported");
  EXPECT_EQ(error("\x12\x04\xe2\x02\x01\xff"), "f: a SentencePiece model whose unk_surface is not UTF-8 is not supported");
  EXPECT_EQ(error(std::string_view("\x12\x03\x98\x02\x00", 5)), "f: piece 3 is a byte, but the model has no byte_fallback");
  EXPECT_EQ(error("\x1a\x02\x20\x01"), "no error");
  EXPECT_EQ(error(std::string_view("\x1a\x02\x28\x00", 4)), "no error");
  EXPECT_NE(error("\x0b").find("an unknown kind of field"), std::string::npos);
  EXPECT_NE(error("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").find("more than ten bytes"), std::string::npos);
  EXPECT_NE(error("\x0a\x7f").find("127 bytes are missing"), std::string::npos);
}

TEST(ScoredVocabularyExternal, Stories260KReadsItsOwnVocabulary) {
  const auto data = tests::data_folder();
  if (data.empty()) GTEST_SKIP() << "ISOTROPE_DATA is not set";
  const auto tokenizer = load_tokenizer(data / "models/stories260K/tok512.bin");
  EXPECT_EQ(tokenizer->vocab_size(), 512u);
  const auto text = "Once upon a time, there was a little girl named Lily.";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text), {.skip_special_tokens = true}), text);
}

}  // namespace
}  // namespace isotrope

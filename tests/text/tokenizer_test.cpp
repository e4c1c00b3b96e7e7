#include "isotrope/text/tokenizer.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <thread>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/train/bpe_train.h"
#include "isotrope/text/unicode/utf8.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

using Ids = std::vector<TokenId>;
using tests::golden_path;

std::shared_ptr<const Tokenizer> small() {
  static const auto tokenizer = load_tokenizer(golden_path("gpt2.tokenizer.json"));
  return tokenizer;
}

RC_GTEST_PROP(TokenizerProperty, AnyTextComesBack, (const std::string& bytes)) {
  const auto text = replace_invalid_utf8(bytes);
  for (const auto& tokenizer : {small(), byte_tokenizer(), load_tokenizer(golden_path("llama3.tokenizer.json"))})
    RC_ASSERT(tokenizer->decode(tokenizer->encode(text, {.add_special_tokens = false})) == text);
}

/// The merges applied as the definition says: the lowest rank of all pairs, the leftmost of equals, until none is left.
Ids merge_bytes_by_definition(const TokenizerDefinition& definition, std::string_view word) {
  Ids ids;
  for (const char byte : word) {
    const auto& letter = dynamic_cast<const PipelineTokenizer&>(*byte_tokenizer()).definition().names[static_cast<unsigned char>(byte)];
    ids.push_back(static_cast<TokenId>(std::ranges::find(definition.names, letter) - definition.names.begin()));
  }
  for (const auto& merge : std::get<BpeDefinition>(definition.model).merges)
    for (std::size_t i = 0; i + 1 < ids.size(); ++i)
      if (ids[i] == merge.left && ids[i + 1] == merge.right)
        ids[i] = merge.result, ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  return ids;
}

TEST(Tokenizer, ShortAndLongWordsMergeByTheDefinition) {
  const auto& definition = dynamic_cast<const PipelineTokenizer&>(*small()).definition();
  RandomStream random(1, "test");
  for (int round = 0; round < 200; ++round) {
    std::string word;
    const auto size = 1 + random.below(120);  // on both sides of the limit where the heap takes over
    for (std::size_t i = 0; i < size; ++i) word += "etahinrdsow"[random.below(11)];
    EXPECT_EQ(small()->encode(word), merge_bytes_by_definition(definition, word)) << word;
  }
}

TEST(Tokenizer, AWordOfAMillionLettersTakesNoTime) {
  const auto start = std::chrono::steady_clock::now();
  const std::string word(1'000'000, 'a');
  const auto ids = small()->encode(word);
  EXPECT_EQ(small()->decode(ids), word);
  // n log n takes 0.3 s here; n² would take hours. The bound leaves room for sanitizers and busy machines.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Tokenizer, PartsCutAtSafePlacesGiveTheIdsOfTheWhole) {
  std::string text;
  for (int i = 0; i < 12; ++i) text += read_file(golden_path("corpus.txt"), "test") + "<|user|> 12 a  b <|endoftext|>";
  for (const char* name : {"gpt2.tokenizer.json", "llama3.tokenizer.json", "added.tokenizer.json"}) {
    const auto tokenizer = load_tokenizer(golden_path(name));
    EXPECT_EQ(tokenizer->encode_parallel(text, 4), tokenizer->encode(text)) << name;
  }
  EXPECT_EQ(byte_tokenizer()->encode_parallel(text, 4), byte_tokenizer()->encode(text));
  Ids joined;
  for (std::size_t start = 0; start < text.size();) {
    const auto end = small()->safe_cut(text, start + 1000);
    const auto ids = small()->encode(std::string_view(text).substr(start, end - start));
    joined.insert(joined.end(), ids.begin(), ids.end());
    start = end;
  }
  EXPECT_EQ(joined, small()->encode(text));
  EXPECT_LT(small()->safe_cut(text, 1000), 2000u);
}

TEST(Tokenizer, NoPlaceIsSafeWhereAnAddedTokenHoldsASpaceAfterALetter) {
  const auto tokenizer = load_tokenizer(golden_path("added.tokenizer.json"));  // has "river bank" and "word wise"
  EXPECT_EQ(tokenizer->safe_cut("a river bank", 1), 12u);
}

TEST(Tokenizer, SeveralThreadsAndTokenizersShareNothing) {
  const auto text = read_file(golden_path("corpus.txt"), "test");
  const auto llama = load_tokenizer(golden_path("llama3.tokenizer.json"));
  const auto expected_small = small()->encode(text), expected_llama = llama->encode(text);
  std::vector<std::jthread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) wrong += small()->encode(text) != expected_small || llama->encode(text) != expected_llama;
    });
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, BrokenUtf8BecomesReplacementCharacters) {
  EXPECT_EQ(small()->encode("a\xFFz\xE6\x97"), small()->encode("a\uFFFDz\uFFFD"));
  EXPECT_EQ(byte_tokenizer()->encode("\xC0"), (Ids{0xEF, 0xBF, 0xBD}));
}

TEST(Tokenizer, IdsOutOfRangeAreNamed) {
  for (const TokenId id : {-1, 257, INT32_MAX}) {
    try {
      byte_tokenizer()->decode(Ids{65, id});
      FAIL();
    } catch (const InputError& error) {
      EXPECT_EQ(error.message(), "id " + std::to_string(id) + " is out of range: the vocabulary has 257 tokens");
    }
  }
  EXPECT_THROW(small()->is_special(700), InputError);
  EXPECT_THROW(small()->token_bytes(-5), InputError);
}

TEST(Tokenizer, BytesAreTheirOwnIds) {
  const auto bytes = byte_tokenizer();
  EXPECT_EQ(bytes->vocab_size(), 257u);
  EXPECT_EQ(bytes->encode("aé<|endoftext|>\n"), (Ids{97, 0xC3, 0xA9, 256, 10}));
  EXPECT_EQ(bytes->encode("<|endoftext|>", {.parse_special_tokens = false}).size(), 13u);
  EXPECT_EQ(bytes->eos(), 256);
  EXPECT_TRUE(bytes->is_special(256));
  EXPECT_EQ(bytes->decode(Ids{97, 256, 98}), "a<|endoftext|>b");
  EXPECT_EQ(bytes->decode(Ids{97, 256, 98}, {.skip_special_tokens = true}), "ab");
  EXPECT_EQ(load_tokenizer("bytes"), bytes);
}

TEST(Tokenizer, AStreamHoldsBackUnfinishedCharacters) {
  StreamDecoder stream(*byte_tokenizer(), {.skip_special_tokens = true});
  EXPECT_EQ(stream.push(0xF0), "");
  EXPECT_EQ(stream.push(0x9F), "");
  EXPECT_EQ(stream.push(0x98), "");
  EXPECT_EQ(stream.push(0x80), "😀");
  EXPECT_EQ(stream.push(256), "");
  EXPECT_EQ(stream.push(0xE6), "");
  EXPECT_EQ(stream.push('a'), "\uFFFDa");
  EXPECT_EQ(stream.push(0xC3), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Tokenizer, SavedAndLoadedItIsTheSame) {
  for (const char* name : {"gpt2.tokenizer.json", "llama3.tokenizer.json", "added.tokenizer.json", "bytes.tokenizer.json"}) {
    const test::TemporaryFolder folder;
    const auto original = load_tokenizer(golden_path(name));
    original->save(folder.path());
    const auto copy = load_tokenizer(folder.path());
    EXPECT_EQ(copy->fingerprint(), original->fingerprint());
    EXPECT_EQ(copy->eos(), original->eos());
    const auto written = nlohmann::json::parse(read_file(folder.path() / "tokenizer.json", "test")), read = tests::golden(name);
    for (const char* key : {"added_tokens", "pre_tokenizer", "post_processor"}) EXPECT_EQ(written[key], read[key]) << name << " " << key;
    EXPECT_EQ(written["model"]["vocab"], read["model"]["vocab"]);
    EXPECT_EQ(written["model"]["merges"], read["model"]["merges"]);
  }
}

TEST(Tokenizer, FingerprintsDifferWhereverIdsCould) {
  const auto file = tests::golden("llama3.tokenizer.json");
  std::vector<std::string> prints{parse_tokenizer(file.dump())->fingerprint()};
  const auto changed = [&](auto change) {
    auto copy = file;
    change(copy);
    prints.push_back(parse_tokenizer(copy.dump())->fingerprint());
  };
  changed([](auto& f) { std::swap(f["model"]["vocab"]["a"], f["model"]["vocab"]["b"]); });
  changed([](auto& f) { std::swap(f["model"]["merges"][0], f["model"]["merges"][1]); });
  changed([](auto& f) { f["model"]["merges"].erase(5); });
  changed([](auto& f) { f["model"]["ignore_merges"] = true; });
  changed([](auto& f) { f["added_tokens"][1]["lstrip"] = true; });
  changed([](auto& f) { f["added_tokens"].erase(1); });
  changed([](auto& f) { f["post_processor"] = nullptr; });
  changed([](auto& f) { f["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "x"; });
  std::ranges::sort(prints);
  EXPECT_EQ(std::ranges::adjacent_find(prints), prints.end());
  EXPECT_EQ(prints[0].size(), 64u);
}

TEST(Tokenizer, AVocabularyAndMergesFileMeanTheSameAsTokenizerJson) {
  const auto file = tests::golden("gpt2.tokenizer.json");
  for (const auto& [vocabulary, merges] : {std::pair{"vocab.json", "merges.txt"}, std::pair{"encoder.json", "vocab.bpe"}}) {
    const test::TemporaryFolder folder;
    std::string lines = "#version: 0.2\n";
    for (const auto& merge : file["model"]["merges"]) lines += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
    write_file(folder.path() / vocabulary, file["model"]["vocab"].dump(), "test");
    write_file(folder.path() / merges, lines, "test");
    const auto tokenizer = load_tokenizer(folder.path());
    const auto text = read_file(golden_path("corpus.txt"), "test") + "<|endoftext|>x";
    EXPECT_EQ(tokenizer->encode(text), small()->encode(text));
    EXPECT_EQ(tokenizer->eos(), 0);
    write_file(folder.path() / merges, "#version: 0.2\n\xFF x\n", "test");
    EXPECT_THROW(load_tokenizer(folder.path()), InputError);
    write_file(folder.path() / vocabulary, "[]", "test");
    EXPECT_THROW(load_tokenizer(folder.path()), InputError);
  }
}

TEST(Tokenizer, BosAndEosComeFromTheConfigFiles) {
  const auto file = tests::golden("gpt2.tokenizer.json").dump();
  EXPECT_EQ(parse_tokenizer(file)->bos(), 0);  // the usual name <|endoftext|>
  EXPECT_EQ(parse_tokenizer(file, R"({"bos_token": "<|user|>", "eos_token": {"content": "a", "lstrip": false}})")->bos(), 1);
  EXPECT_EQ(parse_tokenizer(file, R"({"eos_token": {"content": "<|user|>"}})")->eos(), 1);
  EXPECT_EQ(parse_tokenizer(file, R"({"bos_token": null})")->bos(), std::nullopt);
  EXPECT_THROW(parse_tokenizer(file, R"({"bos_token": 5})"), InputError);
  EXPECT_THROW(parse_tokenizer(file, "[1]"), InputError);

  const test::TemporaryFolder folder;
  write_file(folder.path() / "tokenizer.json", file, "test");
  write_file(folder.path() / "special_tokens_map.json", R"({"bos_token": "<|user|>", "eos_token": "<|user|>"})", "test");
  EXPECT_EQ(load_tokenizer(folder.path())->eos(), 1);
  write_file(folder.path() / "tokenizer_config.json", R"({"eos_token": "<|endoftext|>", "chat_template": "x"})", "test");
  const auto both = load_tokenizer(folder.path());
  EXPECT_EQ(both->eos(), 0);
  EXPECT_EQ(both->bos(), 1);
  both->save(folder.path());
  EXPECT_EQ(nlohmann::json::parse(read_file(folder.path() / "tokenizer_config.json", "test"))["chat_template"], "x");
}

TEST(Tokenizer, ARunFolderGivesTheTokenizerOfItsNewestCheckpoint) {
  const test::TemporaryFolder folder;
  for (const int step : {2, 10, 9}) create_folders(folder.path() / "checkpoints" / ("step-" + std::to_string(step)), "test");
  byte_tokenizer()->save(folder.path() / "checkpoints/step-9");
  small()->save(folder.path() / "checkpoints/step-10");
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), small()->fingerprint());
}

TEST(Tokenizer, AMissingTokenizerIsOneClearLine) {
  const test::TemporaryFolder folder;
  try {
    load_tokenizer(folder.path());
    FAIL();
  } catch (const InputError& error) {
    EXPECT_EQ(error.message(), folder.path().string() +
                                   ": no tokenizer here: expected tokenizer.json, vocab.json and merges.txt, vocab.txt, tokenizer.model, a "
                                   ".tiktoken or a .gguf file");
    EXPECT_FALSE(error.hint().empty());
  }
  EXPECT_THROW(load_tokenizer(folder.path() / "absent"), InputError);
}

TEST(Tokenizer, FindsTokensByTheirNames) {
  EXPECT_EQ(small()->find("<|user|>"), 1);
  EXPECT_EQ(small()->token_bytes(*small()->find("Ġthe")), " the");
  EXPECT_EQ(small()->find("no such token"), std::nullopt);
}

TEST(BpeTraining, RefusesWhatCannotBeTrained) {
  EXPECT_THROW(BpeTrainer({.vocab_size = 256, .special_tokens = {"<s>"}}), UsageError);
  EXPECT_THROW(BpeTrainer({.special_tokens = {"<s>", "<s>"}}), UsageError);
  EXPECT_THROW(BpeTrainer({.special_tokens = {""}}), UsageError);
  BpeTrainer trainer({});
  trainer.add("");
  EXPECT_THROW(trainer.train(), InputError);
}

TEST(BpeTraining, StopsWherePairsAreTooRare) {
  BpeTrainer trainer({.vocab_size = 1000, .min_frequency = 3});
  trainer.add("abc abc abc xyz xyz");
  const auto tokenizer = trainer.train();
  EXPECT_EQ(tokenizer->find("abc").has_value(), true);
  EXPECT_EQ(tokenizer->find("yz"), std::nullopt);
}

TEST(BpeTraining, CountsTheSameInPartsAsInOneGo) {
  const auto corpus = read_file(golden_path("corpus.txt"), "test");
  BpeTrainer whole({.vocab_size = 600, .threads = 3}), parts({.vocab_size = 600});
  std::string large;
  for (int i = 0; i < 12; ++i) large += corpus;
  whole.add(large);
  for (int i = 0; i < 12; ++i) parts.add(corpus);
  EXPECT_EQ(whole.train()->fingerprint(), parts.train()->fingerprint());
}

}  // namespace
}  // namespace isotrope

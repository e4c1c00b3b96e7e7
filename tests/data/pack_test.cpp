#include "isotrope/data/pack.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <set>
#include <thread>

#include "isotrope/base/error.h"
#include "tests/data/fake_tokenizer.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::FakeTokenizer;
using test::message_of;
using test::put;
using test::TemporaryFolder;
using Texts = std::vector<std::string>;

class Pack : public ::testing::Test {
 protected:
  PackOptions options(std::initializer_list<const char*> inputs) const {
    PackOptions options;
    for (const auto* name : inputs) options.inputs.push_back(folder / name);
    options.output = folder / "out";
    options.threads = 2;
    return options;
  }

  /// The documents of a token file, written with the fake tokenizer; each must end with 256 unless told otherwise.
  Texts documents(const char* name, bool eos = true) const {
    const TokenFile file(folder / "out" / name);
    file.verify();
    Texts texts;
    for (std::uint64_t i = 0; i < file.info().document_count; ++i) {
      const auto [begin, count] = file.document(i);
      std::vector<std::int32_t> ids(count);
      file.copy(begin, count, ids.data());
      if (eos) {
        EXPECT_EQ(ids.back(), 256);
        ids.pop_back();
      }
      texts.emplace_back(ids.begin(), ids.end());
    }
    return texts;
  }

  TemporaryFolder folder;
  FakeTokenizer tokenizer;
};

TEST_F(Pack, FilesFoldersAndJsonLinesBecomeDocumentsInOrder) {
  put(folder / "in/b.txt", "second\n");
  put(folder / "in/a.txt", "first");
  put(folder / "in/empty.txt", "");
  put(folder / "x.jsonl", "{\"text\": \"third \\u00e9\"}\n\n{\"text\": \"\"}\r\n{\"other\": 1, \"text\": \"fourth\"}");
  const auto report = pack(tokenizer, options({"in", "x.jsonl"}));
  EXPECT_EQ(documents("train.tokens"), (Texts{"first", "second\n", "third \u00e9", "fourth"}));
  EXPECT_EQ(report.files, 4u);
  EXPECT_EQ(report.train.document_count, 4u);
  EXPECT_EQ(report.train.source_bytes, 5u + 7u + 8u + 6u);
  EXPECT_EQ(report.train.token_count, report.train.source_bytes + 4);
  EXPECT_EQ(test::names_in(folder / "out"), (Texts{"tokenizer.json", "tokenizer_config.json", "train.tokens"}));
}

TEST_F(Pack, CompressedInputsAreReadAsTheirText) {
  const auto texts = fs::path(ISOTROPE_TEST_SOURCE) / "data" / "text";
  auto options = this->options({});
  options.inputs = {texts};
  options.documents = DocumentBreak::parse("line");
  pack(tokenizer, options);
  const auto all = documents("train.tokens");
  ASSERT_EQ(all.size(), 600u);
  for (int i = 0; i < 600; ++i) EXPECT_EQ(all[i], fmt::format("line {} of some text that compresses well", i % 200));
}

TEST_F(Pack, TheFilesDoNotDependOnThreadsOrPieces) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += fmt::format("line {} {}", i, i % 3 ? "of text\n" : "and a long one ");
  put(folder / "in.txt", text);
  std::set<std::string> outcomes;
  for (const int threads : {1, 2, 5})
    for (const std::size_t piece : {5000, 1 << 20}) {
      auto options = this->options({"in.txt"});
      options.threads = threads;
      options.piece_bytes = piece;
      pack(tokenizer, options);
      outcomes.insert(test::slurp(folder / "out/train.tokens"));
    }
  EXPECT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(documents("train.tokens"), Texts{text});
}

TEST_F(Pack, ATokenizerThatSeesEveryCutIsGivenWholeDocuments) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += fmt::format("line {}\n", i);
  put(folder / "in.txt", text);
  auto options = this->options({"in.txt"});
  options.piece_bytes = 5000;
  const auto report = pack(FakeTokenizer(true), options);
  EXPECT_EQ(report.train.token_count, text.size() + 2);  // one token in front, one at the end
}

TEST_F(Pack, WordPieceDocumentsEndWithSepAndHoldNoOtherSpecialToken) {
  const auto bert = load_tokenizer(fs::path(ISOTROPE_TEST_SOURCE) / "data/tokenizer/word_piece.tokenizer.json");
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "The river opens the window, it's 12\u00e9. ";
  put(folder / "in.txt", text + "\n[MASK] the\n");
  auto options = this->options({"in.txt"});
  options.documents = DocumentBreak::parse("line");
  options.piece_bytes = 5000;
  const auto report = pack(*bert, options);
  const TokenFile file(folder / "out/train.tokens");
  EXPECT_EQ(file.info().eos, bert->sep());
  ASSERT_EQ(report.train.document_count, 2u);
  for (const auto& [index, line] : {std::pair<std::uint64_t, std::string>{0, text}, {1, "[MASK] the"}}) {
    const auto [begin, count] = file.document(index);
    std::vector<TokenId> ids(count);
    file.copy(begin, count, ids.data());
    auto expected = bert->encode(line, {.add_special_tokens = false, .parse_special_tokens = false});
    expected.push_back(*bert->sep());
    EXPECT_EQ(ids, expected);
  }
  file.expect_tokenizer(*load_tokenizer(folder / "out"));
}

TEST_F(Pack, WithoutEndOfTextTokens) {
  put(folder / "in.txt", "ab");
  auto options = this->options({"in.txt"});
  EXPECT_NE(message_of([&] { pack(FakeTokenizer(false, false), options); }).find("no end-of-text token"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "out"));
  options.append_eos = false;
  EXPECT_EQ(pack(FakeTokenizer(false, false), options).train.token_count, 2u);
  EXPECT_EQ(documents("train.tokens", false), Texts{"ab"});
  EXPECT_EQ(TokenFile(folder / "out/train.tokens").info().eos, std::nullopt);
}

TEST_F(Pack, BrokenUtf8IsReplacedOrNamed) {
  put(folder / "in.txt", "caf\xe9 au lait");
  auto options = this->options({"in.txt"});
  EXPECT_EQ(pack(tokenizer, options).replaced_documents, 1u);
  EXPECT_EQ(documents("train.tokens"), Texts{"caf\uFFFD au lait"});
  options.strict = true;
  EXPECT_NE(message_of([&] { pack(tokenizer, options); }).find("in.txt: byte 3 is not UTF-8"), std::string::npos);
  put(folder / "in.jsonl", "{\"text\": \"ok\"}\n{\"text\": \"\xe9\"}\n");
  options.inputs = {folder / "in.jsonl"};
  EXPECT_NE(message_of([&] { pack(tokenizer, options); }).find("in.jsonl: byte 25 is not UTF-8"), std::string::npos);
}

TEST_F(Pack, BadRecordsAreNamedByFileAndLineAndCounted) {
  put(folder / "in.jsonl", "{\"text\": \"one\"}\n{\"text\": 5}\n\n{\"text\": \"two\"\n{\"body\": \"x\"}\n{\"text\": \"three\"}\n");
  auto options = this->options({"in.jsonl"});
  EXPECT_NE(message_of([&] { pack(tokenizer, options); }).find("in.jsonl: line 2: \"text\": expected a string, got an integer"),
            std::string::npos);
  options.skip_bad = 1;
  EXPECT_NE(message_of([&] { pack(tokenizer, options); }).find("in.jsonl: line 4, column 15: not valid JSON"), std::string::npos)
      << message_of([&] { pack(tokenizer, options); });
  options.skip_bad = 2;
  EXPECT_NE(message_of([&] { pack(tokenizer, options); }).find("in.jsonl: line 5: \"text\" is missing"), std::string::npos);
  options.skip_bad = 3;
  EXPECT_EQ(pack(tokenizer, options).skipped_records, 3u);
  EXPECT_EQ(documents("train.tokens"), (Texts{"one", "three"}));
  options.text_key = "body";
  options.skip_bad = 5;
  pack(tokenizer, options);
  EXPECT_EQ(documents("train.tokens"), Texts{"x"});
}

TEST_F(Pack, EmptyInputIsAnError) {
  put(folder / "in.txt", "");
  EXPECT_NE(message_of([&] { pack(tokenizer, options({"in.txt"})); }).find("in.txt: the input holds no text"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST_F(Pack, ASplitByDocumentsIsDeterministicAndKeepsEqualDocumentsTogether) {
  std::string lines;
  for (int i = 0; i < 2000; ++i) lines += fmt::format("document {}\n", i % 1000);
  put(folder / "in.txt", lines);
  auto options = this->options({"in.txt"});
  options.documents = DocumentBreak::parse("line");
  options.validation_fraction = 0.1;
  const auto report = pack(tokenizer, options);
  EXPECT_EQ(report.train.document_count + report.validation->document_count, 2000u);
  EXPECT_NEAR(static_cast<double>(report.validation->document_count) / 2000, 0.1, 0.05);  // five standard deviations of 1,000 draws
  const auto train = documents("train.tokens"), validation = documents("validation.tokens");
  const std::set<std::string> seen(train.begin(), train.end());
  for (const auto& text : validation) EXPECT_EQ(seen.count(text), 0u) << text;
  options.threads = 1;
  pack(tokenizer, options);
  EXPECT_EQ(documents("validation.tokens"), validation);
  options.seed = 1;
  pack(tokenizer, options);
  EXPECT_NE(documents("validation.tokens"), validation);
}

TEST_F(Pack, ASplitByBytesCutsWhereItIsTold) {
  put(folder / "in.txt", "0123456789abcdefghij");
  auto options = this->options({"in.txt"});
  options.validation_bytes = ByteRange{8, 12};
  pack(tokenizer, options);
  EXPECT_EQ(documents("train.tokens"), (Texts{"01234567", "cdefghij"}));
  EXPECT_EQ(documents("validation.tokens"), Texts{"89ab"});
  options.train_bytes = ByteRange{2, 6};
  pack(tokenizer, options);
  EXPECT_EQ(documents("train.tokens"), Texts{"2345"});
  options.train_bytes.reset();
  options.validation_bytes = ByteRange{8, 21};
  EXPECT_NE(message_of([&] { pack(tokenizer, options); }).find("bytes 8 to 21 were asked for, the text has 20"), std::string::npos);
  EXPECT_EQ(documents("train.tokens"), Texts{"2345"});  // the earlier pack still stands
}

TEST_F(Pack, TheTailOfTheTextCanBeTheValidationPart) {
  put(folder / "a.txt", "0123456789");
  put(folder / "b.txt", "abcdefgh\u20acj");  // 12 bytes; byte 19 of 22 lies inside the euro sign
  auto options = this->options({"a.txt", "b.txt"});
  options.validation_tail = 0.1;
  pack(tokenizer, options);
  EXPECT_EQ(documents("train.tokens"), (Texts{"0123456789", "abcdefgh\u20ac"}));
  EXPECT_EQ(documents("validation.tokens"), Texts{"j"});
}

TEST_F(Pack, AnEarlierValidationFileGoesWithItsTrainingFile) {
  put(folder / "in.txt", "0123456789");
  auto options = this->options({"in.txt"});
  options.validation_tail = 0.5;
  pack(tokenizer, options);
  options.validation_tail = 0;
  pack(tokenizer, options);
  EXPECT_FALSE(fs::exists(folder / "out/validation.tokens"));
}

TEST_F(Pack, ContradictionsAreUsageErrors) {
  put(folder / "in.txt", "text");
  put(folder / "in.jsonl", "{\"text\": \"x\"}");
  const auto refused = [&](auto change, const char* input = "in.txt") {
    auto options = this->options({input});
    change(options);
    EXPECT_THROW(pack(tokenizer, options), UsageError);
    EXPECT_FALSE(fs::exists(folder / "out"));
  };
  refused([](auto& o) { o.validation_fraction = 1.5; });
  refused([](auto& o) { o.validation_fraction = 0.1, o.validation_tail = 0.1; });
  refused([](auto& o) { o.validation_bytes = ByteRange{3, 3}; });
  refused([](auto& o) { o.validation_bytes = ByteRange{1, 3}, o.train_bytes = ByteRange{2, 4}; });
  refused([](auto& o) { o.validation_tail = 0.5; }, "in.jsonl");
}

TEST_F(Pack, ASplitThatLeavesAPartEmptyIsAnError) {
  put(folder / "in.txt", "one document");
  auto options = this->options({"in.txt"});
  options.validation_fraction = 1e-9;
  EXPECT_NE(message_of([&] { pack(tokenizer, options); }).find("no text fell into the validation part"), std::string::npos);
}

TEST_F(Pack, AStopLeavesNothingBehind) {
  put(folder / "in.txt", "text");
  auto options = this->options({"in.txt"});
  options.stop_requested = [] { return true; };
  EXPECT_THROW(pack(tokenizer, options), Interrupted);
  EXPECT_FALSE(fs::exists(folder / "out"));
}

/// Takes its time over every text.
struct SlowTokenizer : FakeTokenizer {
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return FakeTokenizer::encode(text, options);
  }
};

TEST_F(Pack, AfterAKillBeforeTheFirstJournalTheNextPackStartsAfreshAndLeavesNothingBehind) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += fmt::format("line {}\n", i);
  put(folder / "old.txt", "old");
  put(folder / "in.txt", text);
  pack(tokenizer, options({"old.txt"}));
  const auto partial_files = [&] {
    Texts found;
    for (const auto& name : test::names_in(folder / "out"))
      if (name.find(".partial") != std::string::npos) found.push_back(name);
    return found;
  };
  auto options = this->options({"in.txt"});
  options.validation_tail = 0.1;
  const auto child = ::fork();
  if (child == 0) {
    try {
      pack(SlowTokenizer(), options);
    } catch (...) {}
    ::_exit(0);
  }
  for (int i = 0; i < 2000 && partial_files().size() < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_NE(message_of([&] { pack(tokenizer, options); }).find("another process is working here"), std::string::npos);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child was done before it could be killed";
  EXPECT_EQ(partial_files().size(), 2u);
  EXPECT_EQ(documents("train.tokens"), Texts{"old"});  // what stood there stands

  pack(tokenizer, options);
  EXPECT_EQ(test::names_in(folder / "out"), (Texts{"tokenizer.json", "tokenizer_config.json", "train.tokens", "validation.tokens"}));
  EXPECT_EQ(documents("train.tokens")[0] + documents("validation.tokens")[0], text);
}

}  // namespace
}  // namespace isotrope

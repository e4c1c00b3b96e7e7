// A pack that was cut off goes on where it was and writes what an undisturbed one writes; what cannot be trusted is begun anew.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "isotrope/base/error.h"
#include "isotrope/data/pack_journal.h"
#include "tests/data/fake_tokenizer.h"
#include "tests/fault/child.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;
using test::names_in;
using test::put;
using test::slurp;
using test::TemporaryFolder;
using Names = std::vector<std::string>;

/// Counts the bytes that it is given, so that a test knows how much was encoded.
struct CountingTokenizer : test::FakeTokenizer {
  using FakeTokenizer::FakeTokenizer;
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    bytes += text.size();
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
    auto ids = FakeTokenizer::encode(text, options);
    if (shows_cuts && text.size() > 512) ids.insert(ids.begin(), 258);  // whether a seam holds is tried on 512 bytes
    return ids;
  }
  mutable std::atomic<std::uint64_t> bytes{0};
  std::chrono::microseconds pause{0};  ///< that every call takes
  bool shows_cuts = false;             ///< an id before every piece
};

class PackJournal : public ::testing::Test {
 protected:
  /// Lines, paragraphs, separators, characters of several bytes, a broken byte and stretches that offer no place to cut.
  static std::string text_of(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string text;
    while (text.size() < size) {
      const auto kind = random() % 1000;
      if (kind == 0 && random() % 20 == 0) text += std::string(random() % 40'000, 'x');
      else if (kind < 5) text += "\xff";
      else if (kind < 40) text += "\n \r\n\n";
      else if (kind < 60) text += "\n<end>\n";
      else text += fmt::format("word {} gr\u00fc\u00dfe \u20ac{}", random() % 5000, kind % 3 ? " " : kind % 2 ? "\n" : "\r\n");
    }
    return text;
  }

  static std::string records_of(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string lines;
    for (int i = 0; lines.size() < size; ++i) {
      if (random() % 500 == 0) lines += "not JSON\n";
      if (random() % 100 == 0) lines += "\n";
      lines += fmt::format("{{\"text\": \"record {} {}\"}}\n", i, std::string(random() % 3000, 'y'));
    }
    return lines;
  }

  PackOptions options(const Names& inputs, const char* output = "out") const {
    PackOptions options;
    for (const auto& name : inputs) options.inputs.push_back(folder / name);
    options.output = folder / output;
    options.threads = 2;
    return options;
  }

  /// One text, half of it packed and kept.
  PackOptions half_a_pack() {
    put(folder / "in.txt", text);
    auto options = this->options({"in.txt"});
    options.documents = DocumentBreak::parse("line");
    options.validation_fraction = 0.2;
    whole = bytes_of_whole(options);
    stop_after(options, 2);
    return options;
  }

  /// Packs until the stop is asked for the (chunks + 1)st time; whether it was stopped.
  bool stop_after(PackOptions options, int chunks) const {
    options.stop_requested = [&] { return chunks-- <= 0; };
    try {
      pack(tokenizer, options);
    } catch (const Interrupted&) {
      return true;
    }
    return false;
  }

  static std::string bytes_in(const fs::path& output) { return slurp(output / "train.tokens") + "|" + slurp(output / "validation.tokens"); }

  std::string bytes_of_whole(PackOptions options) const {
    options.output = folder / "whole";
    fs::remove_all(options.output);
    pack(tokenizer, options);
    return bytes_in(options.output);
  }

  /// The share of the text that a pack encodes until it is done; its result must be the undisturbed one's.
  double share_encoded(const PackOptions& options) const {
    tokenizer.bytes = 0;
    pack(tokenizer, options);
    EXPECT_TRUE(bytes_in(options.output) == whole);
    for (const auto& name : names_in(options.output)) {
      EXPECT_EQ(name.find("partial"), std::string::npos) << name;
      EXPECT_NE(name, "pack.journal");
    }
    return static_cast<double>(tokenizer.bytes) / static_cast<double>(text.size());
  }

  TemporaryFolder folder;
  CountingTokenizer tokenizer;
  const std::string text = text_of(1'200'000, 1);
  std::string whole;
};

/// Stops a pack again and again, each time after a few chunks and with another number of threads, until it is done.
class StoppedPackSlow : public PackJournal {
 protected:
  StoppedPackSlow() { tokenizer.shows_cuts = true; }

  void expect_the_same(PackOptions options, unsigned seed) {
    whole = bytes_of_whole(options);
    std::mt19937 random(seed);
    int stops = 0;
    do {
      options.threads = static_cast<int>(1 + random() % 3);
      ASSERT_LT(++stops, 100) << "it does not get on";
    } while (stop_after(options, static_cast<int>(1 + random() % 2)));
    EXPECT_GT(stops, 3) << "it ended before it could be stopped: nothing was tested";
    EXPECT_TRUE(bytes_in(options.output) == whole);
    fs::remove_all(options.output);
  }
};

TEST_F(StoppedPackSlow, OfTextsGoesOnToTheSameBytes) {
  put(folder / "a.txt", text_of(700'000, 2));
  put(folder / "b.txt", text_of(300'000, 3));
  put(folder / "c.txt", "");
  put(folder / "d.txt", text_of(900'000, 4));
  for (const char* documents : {"none", "line", "blank-lines", "\\n<end>\\n"})
    for (const std::size_t piece : {5000, 1 << 20}) {
      SCOPED_TRACE(fmt::format("{} {}", documents, piece));
      auto options = this->options({"a.txt", "b.txt", "c.txt", "d.txt"});
      options.documents = DocumentBreak::parse(documents);
      options.piece_bytes = piece;
      expect_the_same(options, 5);
      if (piece > 5000) continue;
      auto by_hash = options, tail = options, bytes = options, both = options;
      by_hash.validation_fraction = 0.3;
      tail.validation_tail = 0.3;
      bytes.validation_bytes = ByteRange{400'001, 1'100'003};
      both.validation_bytes = ByteRange{800'001, 1'000'003};
      both.train_bytes = ByteRange{300'000, 700'000};
      for (const auto& split : {by_hash, tail, bytes, both}) {
        SCOPED_TRACE(fmt::format("{} {} {}", split.validation_fraction, split.validation_tail, split.train_bytes.has_value()));
        if (split.documents.kind != DocumentBreak::Kind::none || split.validation_fraction == 0) expect_the_same(split, 6);
      }
    }
}

TEST_F(StoppedPackSlow, InsideALongDocumentLeavesItInItsPart) {
  std::string documents;
  for (unsigned i = 0; i < 12; ++i) documents += text_of(150'000, 20 + i) + "\n=====\n";
  put(folder / "in.txt", documents);
  auto options = this->options({"in.txt"});
  options.documents = DocumentBreak::parse("\\n=====\\n");
  options.validation_fraction = 0.5;
  options.piece_bytes = 40'000;
  for (options.seed = 0; options.seed < 5; ++options.seed) expect_the_same(options, 11);
}

TEST_F(StoppedPackSlow, OfJsonLinesGoesOnToTheSameBytesAndCounts) {
  put(folder / "a.jsonl", records_of(900'000, 7));
  put(folder / "b.jsonl", records_of(700'000, 8) + R"({"text": "no new line"})");
  auto options = this->options({"a.jsonl", "b.jsonl"});
  options.skip_bad = 1000;
  options.validation_fraction = 0.2;
  expect_the_same(options, 9);
  const auto undisturbed = pack(tokenizer, options);
  fs::remove_all(options.output);
  stop_after(options, 5);
  EXPECT_EQ(pack(tokenizer, options).skipped_records, undisturbed.skipped_records);
  EXPECT_GT(undisturbed.skipped_records, 2u);
}

TEST_F(StoppedPackSlow, OfCompressedTextsGoesOnToTheSameBytes) {
  const auto texts = fs::path(ISOTROPE_TEST_SOURCE) / "data" / "text";
  Names names;
  for (const auto& name : names_in(texts)) {
    std::string members;
    for (int i = 0; i < 100; ++i) members += slurp(texts / name);  // a file may hold several members
    put(folder / ("many-" + name), members);
    names.push_back("many-" + name);
  }
  for (const char* documents : {"none", "line"}) {
    auto options = this->options(names);
    options.documents = DocumentBreak::parse(documents);
    options.validation_tail = 0.5;
    expect_the_same(options, 10);
  }
}

TEST_F(StoppedPackSlow, SaysWhereItIsAndKeepsTheEarlierPack) {
  put(folder / "small.txt", "small");
  pack(tokenizer, options({"small.txt"}));
  const auto earlier = slurp(folder / "out/train.tokens");
  put(folder / "in.txt", text);
  auto options = this->options({"in.txt"});
  int chunks = 2;
  options.stop_requested = [&] { return chunks-- <= 0; };
  const auto message = message_of([&] { pack(tokenizer, options); });
  EXPECT_NE(message.find("at 44%, which is kept: the same command goes on from there, --restart begins anew"), std::string::npos)
      << message;
  EXPECT_EQ(slurp(folder / "out/train.tokens"), earlier);
  EXPECT_EQ(names_in(folder / "out"), (Names{"pack.journal", "tokenizer.json", "tokenizer_config.json", "train.tokens",
                                             "train.tokens.partial", "train.tokens.partial-documents"}));
}

TEST_F(PackJournal, GoesOnWithTheRestAlone) {
  const auto options = half_a_pack();
  EXPECT_LT(share_encoded(options), 0.7);
}

TEST_F(PackJournal, ThreadsAndMorePatienceWithBadRecordsMakeNoOtherPack) {
  auto options = half_a_pack();
  options.threads = 5;
  options.skip_bad = 7;
  EXPECT_LT(share_encoded(options), 0.7);
}

TEST_F(PackJournal, ABadRecordLateInTheTextNeedNotCostWhatCameBefore) {
  std::string lines;
  for (int i = 0; i < 40'000; ++i) lines += fmt::format("{{\"text\": \"record {} of the text\"}}\n", i);
  put(folder / "in.jsonl", lines + "bad\n");
  auto options = this->options({"in.jsonl"});
  stop_after(options, 5);
  const auto message = message_of([&] { pack(tokenizer, options); });
  EXPECT_NE(message.find("in.jsonl: line 40001"), std::string::npos) << message;
  options.skip_bad = 1;
  tokenizer.bytes = 0;
  EXPECT_EQ(pack(tokenizer, options).train.document_count, 40'000u);
  EXPECT_LT(tokenizer.bytes, lines.size() / 3);
}

TEST_F(PackJournal, IsNotGoneOnWithWhenAnythingIsAnother) {
  using Change = std::function<void(PackOptions&)>;
  const Change changes[] = {[](auto& o) { o.restart = true; },
                            [](auto& o) { o.tokenizer_name = "another"; },
                            [](auto& o) { o.documents = DocumentBreak::parse("none"), o.validation_fraction = 0; },
                            [](auto& o) { o.documents = DocumentBreak::parse("<end>"); },
                            [](auto& o) { o.append_eos = false; },
                            [](auto& o) { o.parse_special_tokens = true; },
                            [](auto& o) { o.text_key = "body"; },
                            [](auto& o) { o.validation_fraction = 0.3; },
                            [](auto& o) { o.validation_fraction = 0, o.validation_tail = 0.2; },
                            [](auto& o) { o.validation_fraction = 0, o.validation_bytes = ByteRange{5, 90}; },
                            [](auto& o) { o.seed = 9; },
                            [](auto& o) { o.piece_bytes = 9999; },
                            [](auto& o) { o.inputs.push_back(o.inputs[0]); },
                            [](auto& o) { fs::last_write_time(o.inputs[0], fs::file_time_type::clock::now()); },
                            [this](auto& o) { put(o.inputs[0], text + "more"); },
                            [this](auto& o) {
                              const auto time = fs::last_write_time(o.inputs[0]);
                              put(o.inputs[0], "Z" + text.substr(1));
                              fs::last_write_time(o.inputs[0], time);
                            }};
  for (std::size_t i = 0; i < std::size(changes); ++i) {
    SCOPED_TRACE(i);
    fs::remove_all(folder / "out");
    auto options = half_a_pack();
    changes[i](options);
    whole = bytes_of_whole(options);
    EXPECT_GE(share_encoded(options), 0.9);  // of the bytes; those between documents are not encoded
  }
}

TEST_F(PackJournal, OfAnotherTokenizerIsNotGoneOnWith) {
  const auto options = half_a_pack();
  const CountingTokenizer other(true);
  EXPECT_EQ(pack(other, options).train.fingerprint, other.fingerprint());
  EXPECT_GE(other.bytes, text.size() * 9 / 10);
}

TEST_F(PackJournal, DamagedAtAnyByteItNeverSpoilsThePack) {
  const auto options = half_a_pack();
  const auto kept = folder / "kept";
  fs::copy(options.output, kept, fs::copy_options::recursive);
  const auto journal = slurp(kept / "pack.journal");
  Names damaged{"", "{}", "[]", "null", std::string(100'000, '['), journal + "}"};
  for (std::size_t i = 0; i < journal.size(); i += 47) {
    damaged.push_back(journal.substr(0, i));
    damaged.push_back(journal);
    damaged.back()[i] = static_cast<char>(damaged.back()[i] ^ 1);
  }
  for (const auto& bytes : damaged) {
    SCOPED_TRACE(bytes.substr(0, 2000));
    fs::remove_all(options.output);
    fs::copy(kept, options.output, fs::copy_options::recursive);
    put(options.output / "pack.journal", bytes);
    EXPECT_GE(share_encoded(options), 0.9);
  }
}

TEST_F(PackJournal, WithDamagedUnfinishedFilesBeginsAnew) {
  const auto options = half_a_pack();
  const auto kept = folder / "kept";
  fs::copy(options.output, kept, fs::copy_options::recursive);
  for (const char* name :
       {"train.tokens.partial", "train.tokens.partial-documents", "validation.tokens.partial", "validation.tokens.partial-documents"}) {
    const auto bytes = slurp(kept / name);
    auto flipped = bytes, early = bytes;
    flipped[bytes.size() - 1] ^= 1;
    early[bytes.size() / 3] ^= 16;
    for (const auto& damaged : {std::string(), bytes.substr(0, bytes.size() - 1), flipped, early, std::string("absent")}) {
      SCOPED_TRACE(fmt::format("{}: {} of {} bytes", name, damaged.size(), bytes.size()));
      fs::remove_all(options.output);
      fs::copy(kept, options.output, fs::copy_options::recursive);
      put(options.output / name, damaged);
      if (damaged == "absent") fs::remove(options.output / name);
      EXPECT_GE(share_encoded(options), 0.9);
    }
  }
  put(kept / "train.tokens.partial", slurp(kept / "train.tokens.partial") + "written after the journal");
  fs::remove_all(options.output);
  fs::copy(kept, options.output, fs::copy_options::recursive);
  EXPECT_LT(share_encoded(options), 0.7);
}

TEST_F(PackJournal, OfEveryVersionIsReadAndANewerOneRefused) {
  const PackIdentity identity{"settings", "inputs"};
  const auto text = slurp(fs::path(ISOTROPE_TEST_SOURCE) / "data/tokens/version1.journal");
  const auto state = parse_pack_journal(text, "sample", identity);
  EXPECT_EQ(state.position.file, 3u);
  EXPECT_EQ(state.position.splitter.offset, 1'048'000u);
  EXPECT_EQ(state.position.part, PackPart::validation);
  EXPECT_EQ(state.train.tokens_crc, 3'355'205'963u);
  EXPECT_EQ(state.validation.value().source_bytes, 1'200'000u);
  EXPECT_EQ(pack_journal_text(identity, state), text);
  auto newer = text;
  newer.replace(newer.find("\"version\": 1"), 12, "\"version\": 2");
  EXPECT_NE(
      message_of([&] { parse_pack_journal(newer, "sample", identity); }).find("sample: format version 2, this program goes on from 1"),
      std::string::npos);
}

TEST_F(PackJournal, AKillBetweenTheFilesNamesIsGoneOnWith) {
  const auto options = half_a_pack();
  fs::copy(folder / "whole/validation.tokens", options.output / "validation.tokens");
  fs::remove(options.output / "validation.tokens.partial");
  EXPECT_LT(share_encoded(options), 0.7);
}

TEST_F(PackJournal, AFullDiskCostsNothingThatWasPacked) {
  put(folder / "in.txt", text);
  auto options = this->options({"in.txt"});
  options.journal_seconds = 0;
  options.documents = DocumentBreak::parse("\\n<end>\\n");
  whole = bytes_of_whole(options);
  tokenizer.pause = std::chrono::microseconds(200);  // so that the disk is done with the first journals before it is full
  const auto message = test::message_under_file_limit(1'800'000, [&] { pack(tokenizer, options); });
  tokenizer.pause = {};
  EXPECT_NE(message.find("train.tokens: cannot write"), std::string::npos) << message;
  EXPECT_TRUE(fs::exists(options.output / "pack.journal"));
  EXPECT_LT(share_encoded(options), 0.8);
}

TEST_F(PackJournal, IsForgottenWhenThePackCanOnlyEndInTheSameError) {
  put(folder / "in.txt", text);
  auto options = this->options({"in.txt"});
  options.journal_seconds = 0;
  options.validation_bytes = ByteRange{0, 5'000'000};
  EXPECT_NE(message_of([&] { pack(tokenizer, options); }).find("were asked for, the text has"), std::string::npos);
  EXPECT_FALSE(fs::exists(options.output));
}

TEST_F(PackJournal, IsNotKeptOfAnInputThatCannotBeReadTwice) {
  ASSERT_EQ(::mkfifo((folder / "in.txt").c_str(), 0600), 0);
  const auto options = this->options({"in.txt"});
  const auto earlier = ::signal(SIGPIPE, SIG_IGN);
  std::thread writer([&] { put(folder / "in.txt", text); });
  EXPECT_TRUE(stop_after(options, 3));
  writer.join();
  ::signal(SIGPIPE, earlier);
  EXPECT_FALSE(fs::exists(options.output));
}

}  // namespace
}  // namespace isotrope

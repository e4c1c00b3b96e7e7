#include "isotrope/data/token_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "isotrope/base/error.h"
#include "isotrope/data/token_file_layout.h"
#include "tests/data/fake_tokenizer.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;
using test::put;
using test::slurp;
using test::TemporaryFolder;

TokenFileInfo small_info(std::uint64_t vocab_size = 300) {
  TokenFileInfo info;
  info.vocab_size = vocab_size;
  info.eos = 256;
  info.fingerprint = std::string(64, 'a');
  info.tokenizer_name = "fake";
  return info;
}

void write_tokens(const fs::path& path, const std::vector<std::vector<TokenId>>& documents, const TokenFileInfo& info = small_info()) {
  TokenFileWriter writer(path, info);
  for (const auto& document : documents) {
    writer.add(document);
    writer.end_document();
  }
  writer.add_source_bytes(77);
  writer.finish();
  writer.commit();
}

/// CRC-32 bit by bit, from its definition (reflected polynomial 0xEDB88320).
std::uint32_t crc32_by_definition(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

/// Puts a true checksum over a header that a test has changed.
std::string sealed(std::string bytes) {
  const auto crc = crc32_by_definition(std::string_view(bytes).substr(0, 252));
  std::memcpy(bytes.data() + 252, &crc, 4);
  return bytes;
}

TEST(TokenFile, WhatIsWrittenIsReadBack) {
  for (const std::uint64_t vocab : {300, 65536, 65537, 200000}) {
    const TemporaryFolder folder;
    const auto largest = static_cast<TokenId>(vocab - 1);
    write_tokens(folder / "t.tokens", {{1, 2, 256}, {}, {largest}, {4, 5, 6, 7, 256}}, small_info(vocab));
    const TokenFile file(folder / "t.tokens");
    EXPECT_EQ(file.info().token_width, vocab <= 65536 ? 2u : 4u);
    EXPECT_EQ(file.size(), 9u);
    EXPECT_EQ(file.info().document_count, 3u);
    EXPECT_EQ(file.info().source_bytes, 77u);
    EXPECT_EQ(file.info().eos, 256);
    EXPECT_EQ(file.info().vocab_size, vocab);
    EXPECT_EQ(file.info().fingerprint, std::string(64, 'a'));
    EXPECT_EQ(file.info().tokenizer_name, "fake");
    std::vector<std::int32_t> ids(4);
    file.copy(2, 4, ids.data());
    EXPECT_EQ(ids, (std::vector<std::int32_t>{256, largest, 4, 5}));
    std::vector<std::int64_t> wide(9);
    file.copy(0, 9, wide.data());
    EXPECT_EQ(wide, (std::vector<std::int64_t>{1, 2, 256, largest, 4, 5, 6, 7, 256}));
    EXPECT_NO_THROW(file.verify());
  }
}

TEST(TokenFile, DocumentsAreFoundByIndexAndByToken) {
  const TemporaryFolder folder;
  write_tokens(folder / "t.tokens", {{1, 2, 256}, {256}, {4, 5, 256}});
  const TokenFile file(folder / "t.tokens");
  EXPECT_EQ(file.document(2).begin, 4u);
  EXPECT_EQ(file.document(2).count, 3u);
  EXPECT_THROW(file.document(3), InputError);
  const std::vector<std::uint64_t> expected{0, 0, 0, 1, 2, 2, 2};
  for (std::uint64_t i = 0; i < 7; ++i) EXPECT_EQ(file.document_at(i), expected[i]) << i;
  EXPECT_EQ(file.document_ids(1, 5), (std::vector<std::int32_t>{0, 0, 1, 2, 2}));
  EXPECT_EQ(file.document_ids(3, 2), (std::vector<std::int32_t>{0, 1}));
  EXPECT_THROW(file.document_ids(5, 3), InputError);
}

TEST(TokenFile, LongFilesHaveAChecksumABlock) {
  const TemporaryFolder folder;
  std::vector<TokenId> ids(1'500'000);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i * 7 % 256);
  write_tokens(folder / "t.tokens", {ids});
  EXPECT_EQ(fs::file_size(folder / "t.tokens"), 256 + 3'000'000 + 8 + 3 * 4u);
  {
    const TokenFile file(folder / "t.tokens");
    std::uint64_t reached = 0;
    EXPECT_NO_THROW(file.verify([&](std::uint64_t bytes) { reached = bytes; }));
    EXPECT_EQ(reached, 3'000'008u);
    std::vector<std::int32_t> read(ids.size());
    file.copy(0, read.size(), read.data());
    EXPECT_EQ(read, ids);
  }
  auto bytes = slurp(folder / "t.tokens");
  bytes[256 + (1 << 20) + 5] ^= 1;
  put(folder / "t.tokens", bytes);
  const TokenFile damaged(folder / "t.tokens");
  EXPECT_NE(message_of([&] { damaged.verify(); }).find("block 1 (bytes 1048832 to 2097408) is corrupt: CRC-32 "), std::string::npos)
      << message_of([&] { damaged.verify(); });
}

TEST(TokenFile, EveryDamageIsNamed) {
  const TemporaryFolder folder;
  write_tokens(folder / "t.tokens", {{1, 2, 256}, {4, 5, 256}});
  const auto good = slurp(folder / "t.tokens");
  const auto opened = [&](const std::string& bytes) { return message_of([&] { TokenFile(std::as_bytes(std::span(bytes)), "t.tokens"); }); };
  const auto changed = [&](std::size_t at, char value) {
    auto bytes = good;
    bytes[at] = value;
    return bytes;
  };
  EXPECT_EQ(opened(good), "");
  EXPECT_EQ(opened("hello"), "[tokens] t.tokens: not a token file (`isotrope data pack` makes them)");
  EXPECT_EQ(opened(changed(0, 'J')), "[tokens] t.tokens: not a token file (`isotrope data pack` makes them)");
  EXPECT_EQ(opened(changed(8, 2)), "[tokens] t.tokens: format version 2, this program reads 1: a newer isotrope wrote it");
  EXPECT_EQ(opened(good.substr(0, 100)), "[tokens] t.tokens: truncated: 100 bytes, the header alone has 256");
  EXPECT_EQ(opened(good.substr(0, good.size() - 1)),
            fmt::format("[tokens] t.tokens: truncated: the header promises {} bytes, the file has {}", good.size(), good.size() - 1));
  EXPECT_NE(opened(good + "x").find("too long"), std::string::npos);
  EXPECT_EQ(opened(changed(30, 1)), "[tokens] t.tokens: the header is corrupt (CRC-32)");
  EXPECT_EQ(opened(changed(good.size() - 1, 9)), "[tokens] t.tokens: the table of checksums is corrupt (CRC-32)");
  for (const std::size_t field : {12, 16, 20, 24, 31, 32, 39, 47, 63, 192, 200})  // sizes and offsets, with a true checksum
    EXPECT_EQ(opened(sealed(changed(field, 77))), "[tokens] t.tokens: the header contradicts itself") << field;
}

TEST(TokenFile, AnIdOutsideTheVocabularyIsNeverHandedOut) {
  const TemporaryFolder folder;
  write_tokens(folder / "t.tokens", {{1, 2, 256}});
  auto bytes = slurp(folder / "t.tokens");
  bytes[256 + 3] = 2;  // token 1 becomes 514
  const TokenFile file(std::as_bytes(std::span(bytes)), "t.tokens");
  std::vector<std::int32_t> ids(3);
  EXPECT_NE(message_of([&] { file.copy(0, 3, ids.data()); }).find("an id of 514 among tokens 0 to 3, the vocabulary has 300"),
            std::string::npos);
  EXPECT_NO_THROW(file.copy(2, 1, ids.data()));
  EXPECT_NE(message_of([&] { file.copy(2, 2, ids.data()); }).find("tokens 2 to 4 were asked for, the file has 3"), std::string::npos);
  EXPECT_NE(message_of([&] { file.verify(); }).find("block 0 "), std::string::npos);
  TokenFileWriter writer(folder / "u.tokens", small_info());
  EXPECT_THROW(writer.add(std::vector<TokenId>{300}), InputError);
  EXPECT_THROW(writer.add(std::vector<TokenId>{-1}), InputError);
}

TEST(TokenFile, AnotherTokenizerIsRefused) {
  const TemporaryFolder folder;
  write_tokens(folder / "t.tokens", {{1}});
  const TokenFile file(folder / "t.tokens");
  EXPECT_NO_THROW(file.expect_tokenizer(test::FakeTokenizer(false)));
  EXPECT_NE(
      message_of([&] { file.expect_tokenizer(test::FakeTokenizer(true)); }).find("packed with another tokenizer (fake, vocabulary 300)"),
      std::string::npos);
}

TEST(TokenFile, NothingAppearsBeforeCommit) {
  const TemporaryFolder folder;
  {
    TokenFileWriter writer(folder / "t.tokens", small_info());
    writer.add(std::vector<TokenId>{1, 2, 3});
    writer.finish();
    EXPECT_FALSE(fs::exists(folder / "t.tokens"));
  }
  EXPECT_TRUE(test::names_in(folder.path()).empty());
}

TEST(TokenFile, AFileOfFormatVersion1IsStillRead) {  // tests/data/tokens/version1.tokens, kept for every later version
  const TokenFile file(fs::path(ISOTROPE_TEST_SOURCE) / "data" / "tokens" / "version1.tokens");
  file.verify();
  EXPECT_EQ(file.size(), 12u);
  std::vector<std::int32_t> ids(12);
  file.copy(0, 12, ids.data());
  EXPECT_EQ(ids, (std::vector<std::int32_t>{'F', 'i', 'r', 's', 't', 256, 'l', 'i', 'g', 'h', 't', 256}));
  EXPECT_EQ(file.document(1).begin, 6u);
  EXPECT_EQ(file.info().source_bytes, 10u);
}

}  // namespace
}  // namespace isotrope

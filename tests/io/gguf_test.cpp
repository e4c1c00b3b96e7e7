#include "isotrope/io/gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/io/gguf_bytes.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::GgufBytes;
using test::message_of;
using test::names_in;
using test::slurp;
using test::TemporaryFolder;

const fs::path gguf_golden = fs::path(ISOTROPE_TEST_SOURCE) / "data" / "gguf" / "packings.gguf";  // tools/oracles/gguf_files.py

std::string gguf_refusal(const std::string& bytes) {
  return message_of([&] { GgufFile(std::as_bytes(std::span(bytes)), "m.gguf"); });
}
std::string gguf_refusal(const GgufBytes& file) { return gguf_refusal(file.bytes()); }

TEST(Gguf, ReadsEveryTypeOfMetadataThatGgufPyWrote) {
  const GgufFile file(gguf_golden);
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.get_int("every.uint8"), 200);
  EXPECT_EQ(file.get_int("every.int8"), -100);
  EXPECT_EQ(file.get_int("every.uint16"), 60000);
  EXPECT_EQ(file.get_int("every.int16"), -30000);
  EXPECT_EQ(file.get_int("every.uint32"), 4000000000);
  EXPECT_EQ(file.get_int("every.int32"), -2000000000);
  EXPECT_EQ(file.get_int("every.int64"), -(std::int64_t{1} << 62));
  EXPECT_EQ(std::get<std::uint64_t>(*file.value("every.uint64")), std::uint64_t{1} << 63);
  EXPECT_EQ(file.get_number("every.float32"), 0.1f);
  EXPECT_EQ(file.get_number("every.float64"), 0.1);
  EXPECT_EQ(file.get_number("every.int8"), -100);
  EXPECT_TRUE(file.get_bool("every.bool", false));
  EXPECT_EQ(file.get_string("every.string"), "na\xC3\xAFve\ntext");
  EXPECT_EQ(file.get_strings("every.strings"), (std::vector<std::string>{"a", "", "\xC3\xBC"}));
  EXPECT_EQ(file.get_ints("every.ints"), (std::vector<std::int64_t>{1, -2, 3}));
  EXPECT_EQ(std::get<GgufArray>(*file.value("every.bools")).elements.index(), 7u);
  EXPECT_EQ(file.value("absent"), nullptr);
  EXPECT_EQ(file.get_int("absent", 7), 7);
  EXPECT_EQ(file.metadata()[1].first, "general.alignment");  // the order of the file
  EXPECT_EQ(file.tensors().front().name, "numbers");
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST(Gguf, AValueOfAnotherKindIsNamed) {
  const GgufFile file(gguf_golden);
  const auto path = gguf_golden.string();
  EXPECT_EQ(message_of([&] { file.get_int("every.string"); }),
            "[gguf] " + path + ": metadata every.string: expected an integer, got a string");
  EXPECT_EQ(message_of([&] { file.get_int("every.uint64"); }),
            "[gguf] " + path + ": metadata every.uint64: expected an integer, got an unsigned 64-bit integer");
  EXPECT_EQ(message_of([&] { file.get_number("every.bool"); }),
            "[gguf] " + path + ": metadata every.bool: expected a number, got true or false");
  EXPECT_EQ(message_of([&] { file.get_bool("every.int8", false); }),
            "[gguf] " + path + ": metadata every.int8: expected true or false, got an 8-bit integer");
  EXPECT_EQ(message_of([&] { file.get_string("every.strings"); }),
            "[gguf] " + path + ": metadata every.strings: expected a string, got an array");
  EXPECT_EQ(message_of([&] { file.get_strings("every.ints"); }),
            "[gguf] " + path + ": metadata every.ints: expected an array of strings, got an array");
  EXPECT_EQ(message_of([&] { file.get_ints("every.strings"); }),
            "[gguf] " + path + ": metadata every.strings: expected an array of integers, got another array");
  EXPECT_EQ(message_of([&] { file.get_string("absent"); }), "[gguf] " + path + ": metadata absent is missing");
}

TEST(Gguf, ReadsVersionTwoAndNestedArraysAndAFileThatEndsWithItsHeader) {
  GgufBytes file(0, 1, 2);
  file.text("a").number(9u).number(9u).number(std::uint64_t{2});  // an array of two arrays
  file.number(0u).number(std::uint64_t{3}).number<std::uint8_t>(1).number<std::uint8_t>(2).number<std::uint8_t>(3);
  file.number(8u).number(std::uint64_t{1}).text("x");
  const GgufFile read(std::as_bytes(std::span(file.bytes())), "m.gguf");
  EXPECT_EQ(read.version(), 2u);
  const auto& outer = std::get<std::vector<GgufArray>>(std::get<GgufArray>(*read.value("a")).elements);
  EXPECT_EQ(std::get<std::vector<std::uint8_t>>(outer[0].elements), (std::vector<std::uint8_t>{1, 2, 3}));
  EXPECT_EQ(std::get<std::vector<std::string>>(outer[1].elements), std::vector<std::string>{"x"});
}

TEST(Gguf, TensorsHaveTheirOutermostDimensionFirst) {
  const auto file = GgufBytes(2).tensor("a", {3, 2}, 0, 0).tensor("b", {32, 5}, 8, 32).data(32 + 5 * 34);
  const GgufFile read(std::as_bytes(std::span(file.bytes())), "m.gguf");
  EXPECT_EQ(read.find("a")->shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(read.find("a")->bytes.size(), 24u);
  EXPECT_EQ(read.find("b")->shape, (std::vector<std::int64_t>{5, 32}));
  EXPECT_EQ(read.find("b")->count(), 160);
}

TEST(Gguf, RefusesWhatIsNoGgufOrOfAnotherVersion) {
  EXPECT_EQ(gguf_refusal(""), "[gguf] m.gguf: does not begin with GGUF: not a GGUF file?");
  EXPECT_EQ(gguf_refusal("GGU"), "[gguf] m.gguf: does not begin with GGUF: not a GGUF file?");
  EXPECT_EQ(gguf_refusal("PK\3\4 and more"), "[gguf] m.gguf: does not begin with GGUF: not a GGUF file?");
  EXPECT_EQ(gguf_refusal("GGUF\3"), "[gguf] m.gguf: ends inside the version, at byte 5: truncated?");
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 0, 4)), "[gguf] m.gguf: version 4, expected 2 or 3");
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 0, 1)), "[gguf] m.gguf: version 1, expected 2 or 3");
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 0, 0x03000000)), "[gguf] m.gguf: is big-endian, only little-endian files are read");
}

TEST(Gguf, RefusesCountsAndLengthsThatTheFileHasNoRoomFor) {
  EXPECT_EQ(gguf_refusal(GgufBytes(std::uint64_t{1} << 60)),
            "[gguf] m.gguf: the number of tensors: 1152921504606846976, the file has only 8 bytes left");
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 1)), "[gguf] m.gguf: the number of metadata values: 1, the file has only 0 bytes left");
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 1).number(~std::uint64_t{0}).data(64)),
            "[gguf] m.gguf: the metadata: a string of 18446744073709551615 bytes, the file has 64 left");
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 1).text("k").number(9u).number(0u).number(~std::uint64_t{0})),
            "[gguf] m.gguf: k: 18446744073709551615, the file has only 0 bytes left");
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 1).text("k").number(9u).number(8u).number(std::uint64_t{5}).data(0)),
            "[gguf] m.gguf: k: 5, the file has only 15 bytes left");
}

TEST(Gguf, EveryTruncationIsRefused) {
  const auto whole = slurp(gguf_golden);
  constexpr std::size_t header = 1408;  // where gguf-py's file has its data
  for (std::size_t size = 0; size < header + 100; ++size) EXPECT_NE(gguf_refusal(whole.substr(0, size)), "") << size;
  EXPECT_NE(gguf_refusal(whole.substr(0, whole.size() - 64)).find("truncated?"), std::string::npos);
}

TEST(Gguf, RefusesMetadataThatIsNot) {
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 1).value("k", 13, std::uint64_t{0})), "[gguf] m.gguf: k: type 13 of metadata is unknown");
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 2).value("k", 0, std::uint8_t{1}).value("k", 0, std::uint8_t{1})),
            "[gguf] m.gguf: metadata k is given twice");
  GgufBytes deep(0, 1);
  deep.text("k").number(9u);
  for (int i = 0; i < 5; ++i) deep.number(9u).number(std::uint64_t{1});
  EXPECT_EQ(gguf_refusal(deep.data(64)), "[gguf] m.gguf: k: arrays nested more than 4 deep");
  EXPECT_EQ(gguf_refusal(GgufBytes(0, 1).value("two\nlines\xff", 77, std::uint64_t{0})),
            "[gguf] m.gguf: \"two\\nlines\\ufffd\": type 77 of metadata is unknown");
  for (const std::uint32_t alignment : {0u, 24u})
    EXPECT_EQ(gguf_refusal(GgufBytes(0, 1).value("general.alignment", 4, alignment)),
              "[gguf] m.gguf: general.alignment is " + std::to_string(alignment) + ", expected a power of two");
}

TEST(Gguf, RefusesTensorsThatContradictThemselves) {
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {4}, 13, 0).data(64)),
            "[gguf] m.gguf: tensor t has type 13 (Q5_K), which is not supported");
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {4}, 99, 0).data(64)), "[gguf] m.gguf: tensor t has type 99, which is not supported");
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {1, 1, 1, 1, 1}, 0, 0).data(64)),
            "[gguf] m.gguf: tensor t has 5 dimensions, at most 4 are possible");
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {48, 2}, 8, 0).data(640)),
            "[gguf] m.gguf: tensor t: rows of 48 numbers are no whole blocks of 32, as Q8_0 has them");
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {std::uint64_t{1} << 32, std::uint64_t{1} << 31}, 0, 0).data(64)),
            "[gguf] m.gguf: tensor t: its shape is too large");
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {std::uint64_t{1} << 62}, 0, 0).data(64)),
            "[gguf] m.gguf: tensor t: its shape is too large");
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {std::uint64_t{1} << 63}, 1, 0).data(64)),
            "[gguf] m.gguf: tensor t: its shape is too large");
  EXPECT_EQ(gguf_refusal(GgufBytes(2).tensor("t", {4}, 0, 0).tensor("t", {4}, 0, 32).data(64)), "[gguf] m.gguf: tensor t is given twice");
}

TEST(Gguf, RefusesDataThatIsNotAlignedOverlapsOrLiesOutside) {
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {4}, 0, 16).data(64)),
            "[gguf] m.gguf: tensor t begins at byte 16 of the data, which is no multiple of 32");
  EXPECT_EQ(gguf_refusal(GgufBytes(1, 1).value("general.alignment", 4, 64u).tensor("t", {4}, 0, 32).data(64, 64)),
            "[gguf] m.gguf: tensor t begins at byte 32 of the data, which is no multiple of 64");
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {16}, 0, 32).data(64)),
            "[gguf] m.gguf: tensor t has 64 bytes from byte 32 of the data on, the file has 64: truncated?");
  EXPECT_EQ(gguf_refusal(GgufBytes(1).tensor("t", {1}, 0, ~std::uint64_t{31}).data(64)),
            "[gguf] m.gguf: tensor t has 4 bytes from byte 18446744073709551584 of the data on, the file has 64: truncated?");
  EXPECT_EQ(gguf_refusal(GgufBytes(2).tensor("a", {16}, 0, 0).tensor("b", {4}, 0, 32).data(64)),
            "[gguf] m.gguf: tensor b begins at byte 32 of the data, inside tensor a");
  EXPECT_EQ(gguf_refusal(GgufBytes(2).tensor("a", {4}, 0, 0).tensor("b", {4}, 0, 0).data(64)),
            "[gguf] m.gguf: tensor b begins at byte 0 of the data, inside tensor a");
}

// ---- writing ------------------------------------------------------------------------------------------------------

std::vector<std::byte> bytes_of(const PackedTensor& tensor) { return {tensor.bytes.begin(), tensor.bytes.end()}; }

TEST(Gguf, WhatIsWrittenReadsBackAlike) {
  const TemporaryFolder folder;
  const GgufFile original(gguf_golden);
  GgufMetadata metadata;
  for (const auto& entry : original.metadata())
    if (entry.first != "general.alignment") metadata.push_back(entry);
  metadata.emplace_back("nested", GgufArray{std::vector<GgufArray>{{std::vector<std::int8_t>{-1}}, {std::vector<std::string>{"x", ""}}}});
  std::vector<GgufEntry> entries;
  for (const auto& tensor : original.tensors()) entries.push_back({tensor.name, tensor.packing, tensor.shape});
  write_gguf(folder / "copy.gguf", metadata, entries, [&](std::size_t i) { return bytes_of(original.tensors()[i]); });

  const GgufFile copy(folder / "copy.gguf");
  ASSERT_EQ(copy.metadata().size(), metadata.size());
  EXPECT_EQ(copy.get_string("every.string"), original.get_string("every.string"));
  EXPECT_EQ(copy.get_strings("every.strings"), original.get_strings("every.strings"));
  EXPECT_EQ(copy.get_ints("every.ints"), original.get_ints("every.ints"));
  for (std::size_t i = 0; i < metadata.size(); ++i) {
    EXPECT_EQ(copy.metadata()[i].first, metadata[i].first);
    EXPECT_EQ(copy.metadata()[i].second.index(), metadata[i].second.index()) << metadata[i].first;
  }
  const auto& nested = std::get<std::vector<GgufArray>>(std::get<GgufArray>(*copy.value("nested")).elements);
  EXPECT_EQ(std::get<std::vector<std::string>>(nested[1].elements), (std::vector<std::string>{"x", ""}));
  ASSERT_EQ(copy.tensors().size(), entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(copy.tensors()[i].name, entries[i].name);
    EXPECT_EQ(copy.tensors()[i].shape, entries[i].shape);
    EXPECT_EQ(bytes_of(copy.tensors()[i]), bytes_of(original.tensors()[i])) << entries[i].name;
  }
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"copy.gguf"});
}

TEST(Gguf, RefusesToWriteWhatNobodyCouldRead) {
  const TemporaryFolder folder;
  const auto path = (folder / "x.gguf").string();
  const auto zeros = [](std::size_t) { return std::vector<std::byte>(34); };
  const std::vector<GgufEntry> one{{"t", Packing::q8_0, {1, 32}}};
  EXPECT_EQ(message_of([&] { write_gguf(path, {{"k", true}, {"k", true}}, {}, zeros); }), "[gguf] " + path + ": metadata k is given twice");
  EXPECT_EQ(message_of([&] { write_gguf(path, {}, std::vector<GgufEntry>{one[0], one[0]}, zeros); }),
            "[gguf] " + path + ": two tensors are called t");
  EXPECT_EQ(message_of([&] { write_gguf(path, {}, std::vector<GgufEntry>{{"t", Packing::q8_0, {32, 2}}}, zeros); }),
            "[gguf] " + path + ": tensor t: shape [32, 2] has no place as Q8_0");
  EXPECT_EQ(message_of([&] { write_gguf(path, {}, std::vector<GgufEntry>{{"t", Packing::q8_0, {2, 32}}}, zeros); }),
            "[gguf] " + path + ": tensor t: 34 bytes, its shape takes 68");
  EXPECT_TRUE(names_in(folder.path()).empty());
}

}  // namespace
}  // namespace isotrope

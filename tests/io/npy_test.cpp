#include "isotrope/io/npy.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;
using test::TemporaryFolder;

const fs::path npy_goldens = fs::path(ISOTROPE_TEST_SOURCE) / "data" / "io";

std::string npy_refusal(const std::string& bytes) {
  return message_of([&] { NpyFile(std::as_bytes(std::span(bytes)), "x.npy"); });
}

/// A version 1 file with this header text.
std::string with_header(std::string header, std::size_t data_bytes) {
  header += '\n';
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size() & 0xff) + static_cast<char>(header.size() >> 8) + header +
         std::string(data_bytes, '\0');
}

TEST(Npy, ReadsEveryDtypeThatNumPyWrote) {  // tools/oracles/io_files.py
  for (const auto* name : {"f2", "f4", "f8"}) {
    const NpyFile file(npy_goldens / (std::string(name) + ".npy"));
    EXPECT_EQ(file.shape(), (std::vector<std::int64_t>{2, 5}));
    const auto values = to_floats(file.dtype(), file.bytes());
    for (int i = 0; i < 10; ++i) EXPECT_EQ(values[i], (i - 3) / 2.0f) << name;
  }
  for (const auto* name : {"i1", "i2", "i4", "i8"}) {
    const NpyFile file(npy_goldens / (std::string(name) + ".npy"));
    EXPECT_EQ(to_floats(file.dtype(), file.bytes()), (std::vector<float>{-3, -2, -1, 0, 1, 2, 3})) << name;
  }
  EXPECT_EQ(NpyFile(npy_goldens / "u1.npy").dtype(), DType::u8);
  EXPECT_EQ(NpyFile(npy_goldens / "b1.npy").dtype(), DType::boolean);
  EXPECT_TRUE(NpyFile(npy_goldens / "scalar.npy").shape().empty());
  const NpyFile second(npy_goldens / "version2.npy");
  EXPECT_EQ(to_floats(second.dtype(), second.bytes()), (std::vector<float>{0, 1, 2, 3}));
}

TEST(Npy, WritesTheBytesThatNumPyWrites) {
  const TemporaryFolder folder;
  for (const auto* name : {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1", "scalar"}) {
    const auto path = npy_goldens / (std::string(name) + ".npy");
    const NpyFile file(path);
    write_npy(folder / "copy.npy", file.dtype(), file.shape(), file.bytes());
    EXPECT_EQ(test::slurp(folder / "copy.npy"), test::slurp(path)) << name;
  }
}

TEST(Npy, RefusesWhatItCannotRead) {
  EXPECT_NE(message_of([] { NpyFile(npy_goldens / "big_endian.npy"); }).find("dtype \">f4\": expected one of"), std::string::npos);
  EXPECT_NE(message_of([] { NpyFile(npy_goldens / "fortran.npy"); }).find("Fortran order"), std::string::npos);
  EXPECT_EQ(npy_refusal(""), "[npy] x.npy: not a .npy file");
  EXPECT_EQ(npy_refusal(std::string("\x93NUMPY\x04\x00\x00\x00\x00\x00", 12)), "[npy] x.npy: format version 4, expected 1 to 3");
  EXPECT_NE(npy_refusal(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14)).find("the header claims 4294967295 bytes"),
            std::string::npos);
  EXPECT_NE(npy_refusal(std::string("\x93NUMPY\x02\x00\x01\x00", 10)).find("truncated"), std::string::npos);
}

TEST(Npy, RefusesHostileHeaders) {
  EXPECT_EQ(npy_refusal(with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8)), "");
  EXPECT_EQ(npy_refusal(with_header("{'shape': (2,3), \"descr\": '<i2', 'fortran_order': False}", 12)), "");
  EXPECT_EQ(npy_refusal(with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7)),
            "[npy] x.npy: shape [2] of <f4 takes 8 bytes, the file has 7");
  EXPECT_NE(npy_refusal(with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0))
                .find("takes too many bytes"),
            std::string::npos);
  for (const std::string header :
       {"", "{", "{}", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3), }",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", "{'descr': '<f4', 'fortran_order': Maybe, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': ()}", "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", "{'descr"})
    EXPECT_NE(npy_refusal(with_header(header, 4)).find("is not what a .npy header has there"), std::string::npos)
        << header << " → " << npy_refusal(with_header(header, 4));
}

TEST(Npy, ADtypeThatNumPyLacksIsNotWritten) {
  const TemporaryFolder folder;
  const std::vector<std::uint16_t> bits{1, 2};
  const std::vector<std::int64_t> shape{2}, wrong{3};
  EXPECT_THROW(write_npy(folder / "x.npy", DType::bf16, shape, std::as_bytes(std::span(bits))), WorkError);
  EXPECT_THROW(write_npy(folder / "x.npy", DType::i16, wrong, std::as_bytes(std::span(bits))), WorkError);
  EXPECT_TRUE(test::names_in(folder.path()).empty());
}

}  // namespace
}  // namespace isotrope

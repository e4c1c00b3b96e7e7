#include "isotrope/io/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "isotrope/io/dtype.h"
#include "isotrope/io/gguf.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;

// tools/oracles/gguf_files.py: numbers, each packing of them, and what gguf-py makes of it again.
const fs::path packings_golden = fs::path(ISOTROPE_TEST_SOURCE) / "data" / "gguf" / "packings.gguf";

constexpr Packing all_packings[] = {Packing::f32,  Packing::f16,  Packing::bf16, Packing::q8_0,
                                    Packing::q4_0, Packing::q4_1, Packing::q4_k, Packing::q6_k};

std::vector<float> expanded(const PackedTensor& tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.count()));
  expand(tensor.packing, tensor.bytes, out);
  return out;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

TEST(Packed, ExpandsEveryPackingToTheBitsOfGgufPy) {
  const GgufFile file(packings_golden);
  for (const auto packing : all_packings) {
    const auto name = std::string(packing_name(packing));
    const auto* packed = file.find(name);
    ASSERT_NE(packed, nullptr) << name;
    EXPECT_EQ(packed->packing, packing);
    EXPECT_EQ(packed->shape, (std::vector<std::int64_t>{4, 256}));
    EXPECT_TRUE(same_bits(expanded(*packed), expanded(*file.find(name + ".numbers")))) << name;
  }
}

TEST(Packed, ExpandsPartsOfATensorAsTheWhole) {
  const GgufFile file(packings_golden);
  for (const auto packing : all_packings) {
    const auto& tensor = *file.find(packing_name(packing));
    const auto whole = expanded(tensor);
    std::vector<float> row(256);
    for (std::size_t i = 0; i < 4; ++i) {
      expand(packing, tensor.bytes.subspan(i * packed_bytes(packing, 256), packed_bytes(packing, 256)), row);
      EXPECT_TRUE(same_bits(row, std::span(whole).subspan(i * 256, 256))) << packing_name(packing);
    }
  }
}

TEST(Packed, PacksToTheBytesOfGgufPy) {
  const GgufFile file(packings_golden);
  const auto numbers = expanded(*file.find("numbers"));
  for (const auto packing : {Packing::f32, Packing::f16, Packing::bf16, Packing::q8_0, Packing::q4_0, Packing::q4_1}) {
    const auto& expected = *file.find(packing_name(packing));
    std::vector<std::byte> bytes(expected.bytes.size());
    pack(packing, numbers, bytes);
    const auto differs = std::ranges::mismatch(bytes, expected.bytes).in1 - bytes.begin();
    EXPECT_EQ(static_cast<std::size_t>(differs), bytes.size()) << packing_name(packing);
  }
}

TEST(Packed, NumbersTooSmallForAScaleBecomeZero) {
  // 1/d would be infinite here, and gguf-py's quotients no numbers at all.
  const std::vector<float> tiny(32, 1e-38f);
  for (const auto packing : {Packing::q8_0, Packing::q4_0, Packing::q4_1}) {
    std::vector<std::byte> bytes(packed_bytes(packing, 32));
    std::vector<float> back(32, 1);
    pack(packing, tiny, bytes);
    expand(packing, bytes, back);
    for (const float value : back) EXPECT_EQ(value, 0) << packing_name(packing);
  }
}

TEST(Packed, RefusesWhatATypeCannotHold) {
  const auto refusal = [](Packing packing, float value) {
    std::vector<float> numbers(32, 0.5f);
    numbers[7] = value;
    std::vector<std::byte> bytes(packed_bytes(packing, 32));
    return message_of([&] { pack(packing, numbers, bytes); });
  };
  EXPECT_EQ(refusal(Packing::f16, 65520), "[packed] 65520 does not fit into F16");
  EXPECT_EQ(refusal(Packing::f16, 65519), "");
  EXPECT_EQ(refusal(Packing::bf16, 3.4e38f), "[packed] 3.4e+38 does not fit into BF16");
  EXPECT_EQ(refusal(Packing::q8_0, 1e7f), "[packed] 78740.16 does not fit into F16");
  for (const auto packing : {Packing::f16, Packing::bf16, Packing::q8_0, Packing::q4_0, Packing::q4_1})
    for (const float value : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
      EXPECT_NE(refusal(packing, value), "") << packing_name(packing) << ' ' << value;
  std::vector<std::byte> bytes(144);
  EXPECT_EQ(message_of([&] { pack(Packing::q4_k, std::vector<float>(256), bytes); }), "[packed] Q4_K is only read");
}

TEST(Packed, EveryHalfSurvivesFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if (std::isnan(to_float_f16(half))) EXPECT_TRUE(std::isnan(to_float_f16(to_f16(to_float_f16(half)))));
    else EXPECT_EQ(to_f16(to_float_f16(half)), half);
    if (std::isnan(to_float_bf16(half))) EXPECT_TRUE(std::isnan(to_float_bf16(to_bf16(to_float_bf16(half)))));
    else EXPECT_EQ(to_bf16(to_float_bf16(half)), half);
  }
}

TEST(Packed, RoundsToTheNearestHalfAndTiesToEven) {
  for (std::uint16_t half = 0; half < 0x7bff; ++half) {
    const double below = to_float_f16(half), above = to_float_f16(static_cast<std::uint16_t>(half + 1));
    const float middle = static_cast<float>((below + above) / 2);
    EXPECT_EQ(to_f16(middle), half % 2 == 0 ? half : half + 1) << half;
    EXPECT_EQ(to_f16(std::nextafter(middle, 0.0f)), half);
    EXPECT_EQ(to_f16(-std::nextafter(middle, 1e9f)), (half + 1) | 0x8000);
  }
}

}  // namespace
}  // namespace isotrope

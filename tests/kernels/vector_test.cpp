#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#define ISOTROPE_KERNELS "tests/kernels/vector_probe.inl"
#include "isotrope/kernels/for_each_isa.h"

// kernels/vector.inl, in every version that this processor can run.
namespace isotrope {
namespace {

struct Probe {
  const char* name;
  float (*exp)(float);
  float (*exp2)(float);
  std::uint16_t (*bf16)(float);
  float (*read_back)(std::uint16_t);
  float (*sum_and_max)(float);
  void (*transpose)(std::uint32_t*);
};

#define ISOTROPE_PROBE(isa) \
  Probe { #isa, isa::exp_of, isa::exp2_of, isa::bf16_of, isa::read_back, isa::sum_and_max, isa::transpose_words }

std::vector<Probe> probes() {
  std::vector<Probe> all{ISOTROPE_PROBE(baseline)};
#if ISOTROPE_HAS_X86_VARIANTS
  if (instruction_set() >= Isa::avx2) all.push_back(ISOTROPE_PROBE(avx2));
  if (instruction_set() >= Isa::avx512) all.push_back(ISOTROPE_PROBE(avx512));
  if (instruction_set() >= Isa::avx512bf16) all.push_back(ISOTROPE_PROBE(avx512bf16));
#endif
  return all;
}

TEST(Vector, ExponentialsAreWithinTwoUnitsAndCoverTheEdges) {
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& probe : probes()) {
    double largest = 0, largest2 = 0;
    for (float x = -87.0f; x < 88.7f; x += 0.0037f)
      largest = std::max(largest, std::abs(probe.exp(x) / std::exp(static_cast<double>(x)) - 1.0));
    for (float x = -125.9f; x < 127.9f; x += 0.0051f)
      largest2 = std::max(largest2, std::abs(probe.exp2(x) / std::exp2(static_cast<double>(x)) - 1.0));
    EXPECT_LT(largest, 2.4e-7) << probe.name;  // two units in the last place of a float
    EXPECT_LT(largest2, 2.4e-7) << probe.name;
    EXPECT_EQ(probe.exp(-100.0f), 0.0f);
    EXPECT_EQ(probe.exp(-infinity), 0.0f);
    EXPECT_TRUE(std::isinf(probe.exp(89.0f)));
    EXPECT_TRUE(std::isnan(probe.exp(nan)));
    EXPECT_EQ(probe.exp(0.0f), 1.0f);
    EXPECT_EQ(probe.exp2(-127.0f), 0.0f);
    EXPECT_EQ(probe.exp2(-infinity), 0.0f);
    EXPECT_TRUE(std::isnan(probe.exp2(nan)));
    EXPECT_EQ(probe.exp2(0.0f), 1.0f);
    EXPECT_EQ(probe.exp2(10.0f), 1024.0f);
  }
}

TEST(Vector, Bfloat16RoundsToNearestEven) {
  for (const auto& probe : probes()) {
    for (const float value : {1.0f, 1.00390625f, 1.01171875f, -3.14159f, 1e-30f, 3.4e38f, std::numeric_limits<float>::infinity()})
      EXPECT_EQ(probe.bf16(value), c10::BFloat16(value).x) << probe.name << ' ' << value;
    EXPECT_TRUE(std::isnan(probe.read_back(probe.bf16(std::numeric_limits<float>::quiet_NaN()))));
    EXPECT_EQ(probe.read_back(0x4049), 3.140625f);
  }
}

TEST(Vector, SumsMaximaAndTransposes) {
  for (const auto& probe : probes()) {
    EXPECT_EQ(probe.sum_and_max(20.0f), 16 * 20.0f - 120 + 20000.0f) << probe.name;
    std::uint32_t words[16][16];
    for (std::uint32_t i = 0; i < 16; ++i)
      for (std::uint32_t j = 0; j < 16; ++j) words[i][j] = 100 * i + j;
    probe.transpose(&words[0][0]);
    for (std::uint32_t i = 0; i < 16; ++i)
      for (std::uint32_t j = 0; j < 16; ++j) ASSERT_EQ(words[i][j], 100 * j + i) << probe.name;
  }
}

}  // namespace
}  // namespace isotrope

#include "isotrope/io/tensor_diff.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

struct Values {
  std::string name;
  std::vector<float> values;
};

class TensorDifference : public ::testing::Test {
 protected:
  ModelDiff diff(const std::vector<Values>& a, const std::vector<Values>& b) {
    write("a.safetensors", a);
    write("b.safetensors", b);
    return diff_tensors(TensorFolder(folder_ / "a.safetensors"), TensorFolder(folder_ / "b.safetensors"));
  }

 private:
  void write(const char* name, const std::vector<Values>& tensors) {
    std::vector<TensorView> views;
    for (const auto& [tensor, values] : tensors)
      views.push_back({tensor, DType::f32, {static_cast<std::int64_t>(values.size())}, std::as_bytes(std::span(values))});
    write_safetensors(folder_ / name, views);
  }
  test::TemporaryFolder folder_;
};

constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

TEST_F(TensorDifference, NumbersAreThoseOfTheFormulas) {
  const auto result = diff({{"w", {3, 0, 4, 0}}}, {{"w", {3, 1, 4, -2}}});
  ASSERT_EQ(result.tensors.size(), 1u);
  const auto& w = result.tensors[0];
  EXPECT_FALSE(w.identical);
  EXPECT_DOUBLE_EQ(w.max_abs, 2);
  EXPECT_DOUBLE_EQ(w.rms, std::sqrt(5.0 / 4));
  EXPECT_DOUBLE_EQ(w.relative, std::sqrt(5.0) / 5);
  EXPECT_TRUE(result.within(0.45));
  EXPECT_FALSE(result.within(0.44));
}

TEST_F(TensorDifference, TheWorstComesFirst) {
  const auto result = diff({{"a", {1}}, {"b", {1}}, {"c", {1}}, {"d", {1}}, {"e", {1}}, {"s", {1, 2}}},
                           {{"a", {1}}, {"b", {1.1f}}, {"c", {5}}, {"d", {nan}}, {"f", {1}}, {"s", {1}}});
  std::string order;
  for (const auto& tensor : result.tensors) order += tensor.name;
  EXPECT_EQ(order, "efsdcba");
  EXPECT_EQ(result.unmatched, 3u);
  EXPECT_EQ(result.compared, 4u);
  EXPECT_EQ(result.identical, 1u);
  EXPECT_EQ(result.tensors[2].kind, TensorDiff::Kind::shapes_differ);
  EXPECT_TRUE(std::isnan(result.worst_relative));
  EXPECT_FALSE(result.within(1e9));
}

TEST_F(TensorDifference, NotANumberOnBothSidesIsNoDifference) {
  const auto same = diff({{"w", {nan, inf, 1}}}, {{"w", {-nan, inf, 1}}});
  EXPECT_FALSE(same.tensors[0].identical);
  EXPECT_EQ(same.tensors[0].relative, 0);
  EXPECT_TRUE(std::isnan(diff({{"w", {nan, 1}}}, {{"w", {0, 1}}}).worst_abs));
  EXPECT_TRUE(std::isinf(diff({{"w", {0}}}, {{"w", {1}}}).worst_relative));
  EXPECT_TRUE(diff({{"w", {0}}}, {{"w", {-0.0f}}}).within(0));
}

TEST_F(TensorDifference, BlocksJoinToTheWhole) {
  std::vector<float> a(10000, 1), b = a;
  b[9999] = 3;
  const auto result = diff({{"w", a}}, {{"w", b}});
  const auto& w = result.tensors[0];
  EXPECT_DOUBLE_EQ(w.max_abs, 2);
  EXPECT_DOUBLE_EQ(w.relative, 2.0 / 100);
}

}  // namespace
}  // namespace isotrope

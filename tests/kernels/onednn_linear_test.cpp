#include "isotrope/kernels/onednn_linear.h"

#include <gtest/gtest.h>

#include "isotrope/kernels/linear.h"
#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using namespace test;

TEST(Kernels, OneDnnProductsEqualTheReference) {
  const at::NoGradGuard no_grad;
  for (const auto& [rows, N, K] : {std::tuple{1, 1, 1}, {5, 3, 7}, {64, 129, 576}, {700, 33, 70}})
    for (const auto& bias : {at::Tensor(), normal({N}, 3).to(at::kFloat)}) {
      const auto x = normal({2, rows, K}, 1).to(at::kFloat), weight = normal({N, K}, 2).to(at::kFloat);
      ASSERT_TRUE(takes_onednn(x, weight));
      const auto y = onednn_linear(x, weight, bias);
      EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{2, rows, N}));
      EXPECT_LT(relative(y, reference::product(x.to(at::kDouble), weight, bias)), fp32_bound) << rows << ' ' << N << ' ' << K;
      const auto strided = at::cat({x, x}, 2).narrow(2, K, K);
      EXPECT_LT(relative(onednn_linear(strided, weight, bias), y), fp32_bound) << "rows that do not follow each other";
    }
}

TEST(Kernels, OneDnnLeavesWhatItDoesNotHave) {
  const auto x = at::randn({6, 8}), weight = at::randn({5, 8});
  EXPECT_FALSE(takes_onednn(x, weight)) << "a gradient may be recorded";
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(takes_onednn(x, weight));
  EXPECT_FALSE(takes_onednn(x, at::randn({8, 5}).t())) << "does not lie in rows";
  EXPECT_FALSE(takes_onednn(x.to(at::kBFloat16), weight.to(at::kBFloat16)));
  EXPECT_FALSE(takes_onednn(at::empty({0, 8}), weight));
  EXPECT_EQ(product(at::empty({0, 8}), weight, {}).sizes(), (std::vector<std::int64_t>{0, 5}));
}

}  // namespace
}  // namespace isotrope

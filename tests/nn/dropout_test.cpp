#include "isotrope/nn/dropout.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace isotrope {
namespace {

TEST(DropoutMasks, ZeroTheirShareAndKeepTheMean) {
  const auto x = at::ones({64, 4096});
  for (const double p : {0.1, 0.5, 0.9}) {
    const auto y = Dropout(7, 3, 0)(x, p);
    const double n = static_cast<double>(x.numel()), zeros = (y == 0).sum().item<double>();
    EXPECT_NEAR(zeros / n, p, 5 * std::sqrt(p * (1 - p) / n));
    EXPECT_TRUE(at::allclose(y.masked_select(y != 0), at::full({}, 1 / (1 - p))));
  }
}

TEST(DropoutMasks, AreAFunctionOfSeedStepCallRowAndPlace) {
  const auto x = at::rand({6, 5, 7}) + 1;
  const auto drop = [&](std::uint64_t seed, std::uint64_t step, std::int64_t row, const at::Tensor& in) {
    return Dropout(seed, step, row)(in, 0.5);
  };
  const auto whole = drop(1, 2, 0, x);
  EXPECT_TRUE(at::equal(whole, drop(1, 2, 0, x)));
  EXPECT_TRUE(at::equal(whole.narrow(0, 4, 2), drop(1, 2, 4, x.narrow(0, 4, 2))));
  EXPECT_FALSE(at::equal(whole, drop(2, 2, 0, x)));
  EXPECT_FALSE(at::equal(whole, drop(1, 3, 0, x)));
  const Dropout pass(1, 2, 0);
  EXPECT_TRUE(at::equal(pass(x, 0.5), whole));
  EXPECT_FALSE(at::equal(pass(x, 0.5), whole));  // the second call of the pass
}

TEST(DropoutMasks, ThinTheGradientAsTheyThinTheValue) {
  const auto x = at::rand({3, 40}).add_(1).requires_grad_(true);
  const auto y = Dropout(1, 2, 0)(x, 0.3);
  y.sum().backward();
  EXPECT_TRUE(at::allclose(x.grad() * x.detach(), y.detach()));
}

TEST(DropoutMasks, LetEverythingPassWhereThereIsNone) {
  const auto x = at::rand({2, 3});
  EXPECT_TRUE(Dropout()(x, 0.5).is_same(x));
  EXPECT_TRUE(Dropout(1, 2, 0)(x, 0).is_same(x));
}

}  // namespace
}  // namespace isotrope

#include "isotrope/kernels/few_rows.h"

#include "isotrope/kernels/linear.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using namespace test;

TEST(Kernels, FewRowsProductsEqualTheReferenceForEveryCountOfRowsAndOddWidths) {
  const at::NoGradGuard no_grad;
  for (const auto type : {at::kFloat, at::kBFloat16})
    for (const std::int64_t rows : {1, 2, 3, 4, 5})
      for (const auto& [N, K] : {std::pair{1, 1}, {3, 7}, {16, 16}, {17, 33}, {129, 576}, {1000, 70}}) {
        const auto x = normal({rows, K}, 1).to(type), weight = normal({N, K}, 2).to(type), bias = normal({N}, 3).to(type);
        for (const auto& b : {at::Tensor(), bias}) {
          const auto y = product(x, weight, b);
          EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{rows, N}));
          EXPECT_EQ(y.scalar_type(), type);
          EXPECT_LT(relative(y, reference::product(x.to(at::kDouble), weight, b)), type == at::kFloat ? fp32_bound : bf16_bound)
              << c10::toString(type) << ' ' << rows << " rows, " << N << " x " << K;
        }
      }
}

TEST(Kernels, FewRowsLeadingDimensionsAndStridesDoNotMatter) {
  const at::NoGradGuard no_grad;
  const auto wide = normal({2, 1, 40}, 1).to(at::kFloat), x = wide.narrow(2, 4, 32), weight = normal({48, 32}, 2).to(at::kFloat);
  const auto expected = at::linear(x, weight);
  EXPECT_LT(relative(product(x, weight, {}), expected), fp32_bound);
  EXPECT_EQ(product(x, weight, {}).sizes(), expected.sizes());
  EXPECT_LT(relative(product(x, weight.t().contiguous().t(), {}), expected), fp32_bound);  // does not lie in rows
}

TEST(Kernels, FewRowsResultsHaveTheSameBitsForAnyNumberOfThreadsAndRows) {
  const at::NoGradGuard no_grad;
  const auto threads = at::get_num_threads();
  const auto x = normal({4, 200}, 1).to(at::kFloat), weight = normal({3000, 200}, 2).to(at::kFloat);
  const auto together = product(x, weight, {});
  at::set_num_threads(1);
  EXPECT_TRUE(at::equal(product(x, weight, {}), together));
  at::set_num_threads(threads);
  for (std::int64_t row = 0; row < 4; ++row) EXPECT_TRUE(at::equal(product(x[row], weight, {}), together[row])) << row;
}

TEST(Kernels, FewRowsOfSeveralMatricesAreThoseOfEach) {
  const at::NoGradGuard no_grad;
  for (const auto type : {at::kFloat, at::kBFloat16})
    for (const std::int64_t rows : {1, 3, 9}) {  // 9: too many
      const auto x = normal({rows, 200}, 1).to(type);
      std::vector<Affine> maps;
      for (const std::int64_t N : {5, 3000, 16, 170})
        maps.push_back({normal({N, 200}, 7).to(type), N == 16 ? at::Tensor() : normal({N}, 8).to(type)});
      const auto found = products(x, maps);
      ASSERT_EQ(found.size(), maps.size());
      for (std::size_t i = 0; i < maps.size(); ++i)
        EXPECT_TRUE(at::equal(found[i], product(x, maps[i].weight, maps[i].bias))) << rows << ' ' << i;
    }
}

TEST(Kernels, FewRowsWhereAGradientIsRecordedItArrives) {
  const auto x = normal({1, 8}, 1).to(at::kFloat), weight = normal({5, 8}, 2).to(at::kFloat).set_requires_grad(true);
  const auto y = product(x, weight, {});
  const auto gradient = torch::autograd::grad({y.sum()}, {weight}).front();
  EXPECT_TRUE(at::allclose(gradient, x.expand({5, 8})));
}

}  // namespace
}  // namespace isotrope

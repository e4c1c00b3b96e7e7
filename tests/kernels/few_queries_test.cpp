// Attention of a few queries against the composed reference; in the suite that runs once for every instruction set.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "isotrope/kernels/few_queries.h"
#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using at::Tensor;
using test::bf16_bound, test::fp32_bound, test::normal, test::relative;

TEST(Kernels, AttentionOfFewQueriesEqualsItsReference) {
  const at::NoGradGuard no_grad;
  struct Shape {
    std::int64_t batch, heads, groups, queries, keys, width;
  };
  for (const auto& s :
       {Shape{1, 9, 3, 1, 70, 64}, {2, 4, 4, 1, 1, 5}, {3, 6, 2, 3, 33, 20}, {1, 2, 1, 15, 15, 128}, {1, 1, 1, 7, 300, 96}}) {
    std::vector<AttentionOptions> all{{}, {.scale = 0.3}, {.causal = false}, {.window = 4}, {.causal = false, .window = 2}, {.window = 0}};
    all.push_back({.slopes = 0.2 * at::rand({s.heads})});
    for (std::size_t i = 0; i < all.size(); ++i)
      for (const auto type : {at::kFloat, at::kBFloat16}) {
        const auto make = [&](std::int64_t heads, std::int64_t tokens, std::uint64_t seed) {  // as projections lay them: [B, T, H, hd]
          return (2 * normal({s.batch, tokens, heads, s.width}, seed)).to(type).transpose(1, 2);
        };
        const auto q = make(s.heads, s.queries, 1), k = make(s.groups, s.keys, 2), v = make(s.groups, s.keys, 3);
        ASSERT_TRUE(takes_few_queries(q, k, v, all[i]));
        const auto expected = reference::attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), all[i]);
        const auto found = attention_of_few_queries(q, k, v, all[i]);
        EXPECT_LT(relative(found, expected), type == at::kFloat ? fp32_bound : bf16_bound) << i << ' ' << s.keys << ' ' << type;
        EXPECT_TRUE(at::equal(found, attention(q, k, v, all[i]))) << "attention() takes it";
      }
  }
}

TEST(Kernels, AttentionOfFewQueriesLeavesWhatItDoesNotHave) {
  const auto q = at::randn({1, 2, 3, 8}), k = at::randn({1, 2, 5, 8}), long_q = at::randn({1, 2, 16, 8}), long_k = at::randn({1, 2, 16, 8});
  EXPECT_TRUE(takes_few_queries(q, k, k, {}));
  EXPECT_FALSE(takes_few_queries(long_q, long_k, long_k, {}));
  EXPECT_FALSE(takes_few_queries(k, q, q, {})) << "fewer keys than queries";
  EXPECT_FALSE(takes_few_queries(q.to(at::kDouble), k.to(at::kDouble), k.to(at::kDouble), {}));
  EXPECT_FALSE(takes_few_queries(q, k, k, {.documents = at::zeros({1, 3}, at::kLong)}));
  EXPECT_FALSE(takes_few_queries(q, k, k, {.on_probabilities = [](const Tensor& p) { return p; }}));
  EXPECT_FALSE(takes_few_queries(q.clone().requires_grad_(true), k, k, {}));
}

TEST(Kernels, AttentionOfFewQueriesHasTheSameBitsForAnyNumberOfThreads) {
  const at::NoGradGuard no_grad;
  const auto q = at::randn({2, 6, 3, 64}), k = at::randn({2, 3, 700, 64}), v = at::randn({2, 3, 700, 64});
  const auto before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = attention_of_few_queries(q, k, v, {});
  for (const auto threads : {2, 3, 5}) {
    at::set_num_threads(threads);
    EXPECT_TRUE(at::equal(attention_of_few_queries(q, k, v, {}), one)) << threads;
  }
  at::set_num_threads(before);
}

TEST(Kernels, AttentionOfFewQueriesTakesScoresOfAnySize) {
  const at::NoGradGuard no_grad;
  const auto q = at::full({1, 1, 1, 4}, 1e4F), k = at::randn({1, 1, 40, 4}) * 1e4, v = at::randn({1, 1, 40, 4});
  const auto found = attention_of_few_queries(q, k, v, {});
  EXPECT_TRUE(at::isfinite(found).all().item<bool>());
  EXPECT_TRUE(at::allclose(found, reference::attention(q, k, v, {}), 1e-4, 1e-5));
}

}  // namespace
}  // namespace isotrope

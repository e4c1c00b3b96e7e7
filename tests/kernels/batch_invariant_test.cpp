// Inside a BatchInvariantScope a row's bits depend on itself alone; in the suite that runs once for every instruction set.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/activations.h"
#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/kernels/invariant_attention.h"
#include "isotrope/kernels/invariant_linear.h"
#include "isotrope/kernels/linear.h"
#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using at::Tensor;
using test::bf16_bound, test::fp32_bound, test::normal, test::relative;

/// Runs `function` with each of several numbers of threads and expects the same bits.
Tensor same_for_all_threads(const auto& function) {
  const auto before = at::get_num_threads();
  at::set_num_threads(1);
  const Tensor one = function();
  for (const auto threads : {2, 3, 5}) {
    at::set_num_threads(threads);
    EXPECT_TRUE(at::equal(function(), one)) << threads << " threads";
  }
  at::set_num_threads(before);
  return one;
}

Tensor linear_of(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Affine map{weight, bias};
  return invariant_linears(x, {&map, 1}).front();
}

TEST(Kernels, InvariantLinearEqualsItsReferenceAndEveryRowStandsAlone) {
  const at::NoGradGuard no_grad;
  const BatchInvariantScope scope;
  struct Shape {
    std::int64_t rows, in, out;
  };
  for (const auto& s : {Shape{1, 5, 3}, {7, 64, 50}, {16, 33, 200}, {45, 576, 192}, {1100, 40, 17}, {3, 1, 1}})
    for (const auto type : {at::kFloat, at::kBFloat16})
      for (const bool transposed : {false, true})
        for (const bool has_bias : {false, true}) {
          const auto x = normal({s.rows, s.in}, 1).to(type), bias = has_bias ? normal({s.out}, 3).to(type) : Tensor();
          auto weight = normal({s.out, s.in}, 2).to(type);
          if (transposed) weight = weight.t().contiguous().t();
          ASSERT_TRUE(takes_invariant(x, weight));
          const auto y = same_for_all_threads([&] { return linear_of(x, weight, bias); });
          const auto expected = reference::product(x.to(at::kDouble), weight.to(at::kDouble), has_bias ? bias.to(at::kDouble) : bias);
          EXPECT_LT(relative(y, expected), type == at::kFloat ? fp32_bound : bf16_bound) << s.rows << ' ' << s.in << ' ' << s.out;
          EXPECT_TRUE(at::equal(product(x, weight, bias), y)) << "product() takes it";
          const auto order = at::randperm(s.rows);
          EXPECT_TRUE(at::equal(linear_of(x.index_select(0, order), weight, bias), y.index_select(0, order))) << "in another order";
          for (std::int64_t i = 0; i < s.rows; i += 1 + s.rows / 9)
            EXPECT_TRUE(at::equal(linear_of(x.narrow(0, i, 1), weight, bias), y.narrow(0, i, 1))) << "row " << i << " alone";
        }
}

TEST(Kernels, InvariantProductsAreLeftToOthersOutsideOfTheScope) {
  const auto x = at::randn({20, 8}), weight = at::randn({5, 8});
  const BatchInvariantScope scope;
  EXPECT_FALSE(takes_invariant(x, weight)) << "a gradient may be recorded";
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(takes_invariant(x, weight));
  EXPECT_FALSE(takes_invariant(x.to(at::kDouble), weight.to(at::kDouble)));
  EXPECT_FALSE(takes_invariant(x.to(at::kBFloat16), weight));
}

/// q, k, v of a row of tokens as projections lay them, [1, H, T, hd].
struct Row {
  Tensor q, k, v;
  Row(std::int64_t tokens, std::int64_t heads, std::int64_t groups, std::int64_t width, at::ScalarType type, std::uint64_t seed) {
    const auto make = [&](std::int64_t count, std::uint64_t number) {
      return (2 * normal({1, tokens, count, width}, 3 * seed + number)).to(type).transpose(1, 2);
    };
    q = make(heads, 0), k = make(groups, 1), v = make(groups, 2);
  }
  Row(Tensor q, Tensor k, Tensor v) : q(std::move(q)), k(std::move(k)), v(std::move(v)) {}
  Row narrow(std::int64_t begin, std::int64_t count) const {
    return {q.narrow(2, begin, count), k.narrow(2, begin, count), v.narrow(2, begin, count)};
  }
  Row select(const std::vector<std::int64_t>& tokens) const {
    const auto index = at::tensor(tokens, at::kLong);
    return {q.index_select(2, index), k.index_select(2, index), v.index_select(2, index)};
  }
};

Tensor attended(const Row& row, const AttentionOptions& options = {}) { return attention(row.q, row.k, row.v, options); }

TEST(Kernels, InvariantAttentionEqualsItsReference) {
  const at::NoGradGuard no_grad;
  const BatchInvariantScope scope;
  for (const auto type : {at::kFloat, at::kBFloat16})
    for (const std::int64_t tokens : {1, 15, 16, 17, 150})
      for (const std::int64_t width : {5, 16, 64, 96}) {
        const Row row(tokens, 6, 2, width, type, 1);
        std::vector<AttentionOptions> all{{},           {.scale = 0.3}, {.causal = false}, {.window = 4}, {.causal = false, .window = 2},
                                          {.window = 0}};
        all.push_back({.slopes = 0.2 * at::rand({6})});
        all.push_back({.documents = at::arange(tokens).div(7, "floor").unsqueeze(0)});
        all.push_back({.window = 3, .slopes = 0.2 * at::rand({6})});
        for (std::size_t i = 0; i < all.size(); ++i) {
          ASSERT_TRUE(takes_invariant(row.q, row.k, row.v, all[i]));
          const auto found = same_for_all_threads([&] { return attended(row, all[i]); });
          const auto expected = reference::attention(row.q.to(at::kDouble), row.k.to(at::kDouble), row.v.to(at::kDouble), all[i]);
          EXPECT_LT(relative(found, expected), type == at::kFloat ? fp32_bound : bf16_bound) << i << ' ' << tokens << ' ' << width;
        }
      }
}

TEST(Kernels, InvariantAttentionOfATextIsThatOfItsBeginningAndWithACache) {
  const at::NoGradGuard no_grad;
  const BatchInvariantScope scope;
  for (const auto& options : {AttentionOptions{}, AttentionOptions{.window = 20}, AttentionOptions{.slopes = 0.2 * at::rand({4})}}) {
    const Row row(131, 4, 2, 24, at::kFloat, 2);
    const auto whole = attended(row, options);
    for (const std::int64_t length : {1, 16, 40, 130}) {
      EXPECT_TRUE(at::equal(attended(row.narrow(0, length), options), whole.narrow(2, 0, length))) << length;
      const auto last = attention(row.q.narrow(2, length, 131 - length), row.k, row.v, options);
      EXPECT_TRUE(at::equal(last, whole.narrow(2, length, 131 - length))) << "from " << length << " on";
    }
    // As a document between others, and beside another row.
    const Row other(50, 4, 2, 24, at::kFloat, 3);
    const Row three(at::cat({other.q, row.q, other.q}, 2), at::cat({other.k, row.k, other.k}, 2), at::cat({other.v, row.v, other.v}, 2));
    auto packed = options;
    packed.documents = at::cat({at::zeros({50}, at::kLong), at::ones({131}, at::kLong), at::full({50}, 2, at::kLong)}).unsqueeze(0);
    EXPECT_TRUE(at::equal(attended(three, packed).narrow(2, 50, 131), whole));
    const auto two = attention(at::cat({row.q, row.q.flip(2)}), at::cat({row.k, row.k.flip(2)}), at::cat({row.v, row.v.flip(2)}), options);
    EXPECT_TRUE(at::equal(two.narrow(0, 0, 1), whole));
  }
}

TEST(Kernels, InvariantAttentionOfSequencesThatShareBeginningsIsThatOfEachByItself) {
  const at::NoGradGuard no_grad;
  // A root of 70 tokens; below it 5 and 90 tokens; below the 90 one of 20 and one of 1; another root of 33.
  const SequenceTree tree{{{0, 70, -1, 0}, {70, 75, 0, 70}, {75, 165, 0, 70}, {165, 185, 2, 160}, {185, 186, 2, 160}, {186, 219, -1, 0}}};
  const std::vector<std::vector<std::size_t>> chains{{0, 1}, {0, 2, 3}, {0, 2, 4}, {5}};
  for (const auto type : {at::kFloat, at::kBFloat16})
    for (auto options : {AttentionOptions{}, AttentionOptions{.window = 30}, AttentionOptions{.slopes = 0.2 * at::rand({6})}}) {
      const Row row(219, 6, 3, 32, type, 4);
      auto shared = options;
      shared.sequences = &tree;
      const auto expected = attention(row.q.to(at::kDouble), row.k.to(at::kDouble), row.v.to(at::kDouble), shared);
      const BatchInvariantScope scope;
      const auto found = same_for_all_threads([&] { return attended(row, shared); });
      EXPECT_LT(relative(found, expected), type == at::kFloat ? fp32_bound : bf16_bound);
      for (const auto& chain : chains) {
        std::vector<std::int64_t> tokens;
        for (const auto part : chain)
          for (auto i = tree.parts[part].begin; i < tree.parts[part].end; ++i) tokens.push_back(i);
        EXPECT_TRUE(at::equal(attended(row.select(tokens), options), found.index_select(2, at::tensor(tokens, at::kLong))));
      }
    }
}

TEST(Kernels, InvariantAttentionRefusesSequencesThatDoNotFitTheRow) {
  const at::NoGradGuard no_grad;
  const SequenceTree tree{{{0, 3, -1, 0}}};
  const Row row(4, 2, 1, 8, at::kFloat, 5);
  EXPECT_THROW(attended(row, {.sequences = &tree}), WorkError);
}

TEST(Kernels, ActivationsInsideTheScopeEqualLibtorchsAndNoPlaceCounts) {
  const at::NoGradGuard no_grad;
  const auto x = normal({1, 40'003}, 6) * 4;
  const auto far = at::tensor({-200.0, -30.0, -1e-6, 0.0, 1e-6, 30.0, 200.0}, at::kDouble).unsqueeze(0);
  for (const auto& values : {x, far})
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      const auto input = values.to(type);
      const std::pair<Tensor (*)(const Tensor&), Tensor> all[] = {{silu, at::silu(input.to(at::kDouble))},
                                                                  {gelu, at::gelu(input.to(at::kDouble))},
                                                                  {softplus, at::softplus(input.to(at::kDouble))}};
      for (const auto& [function, expected] : all) {
        const BatchInvariantScope scope;
        const auto y = same_for_all_threads([&] { return function(input); });
        EXPECT_TRUE(at::allclose(y.to(at::kDouble), expected, type == at::kFloat ? 1e-6 : 8e-3, 4e-7));
        if (function == softplus && type != at::kFloat) continue;
        for (std::int64_t i = 0; i < input.size(1); i += 1 + input.size(1) / 50)
          EXPECT_TRUE(at::equal(function(input.narrow(1, i, 1)), y.narrow(1, i, 1))) << i;
      }
    }
}

TEST(Kernels, HeadLossInsideTheScopeIsThatOfEachRowByItself) {
  const at::NoGradGuard no_grad;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const auto hidden = normal({70, 24}, 7).to(type);
    const Linear head(normal({301, 24}, 8).to(type), normal({301}, 9).to(type));
    auto targets = at::randint(301, {70}, at::kLong);
    targets[3] = ignored_target;
    const auto expected = reference::head_loss(hidden.to(at::kDouble), {head.weight().to(at::kDouble), head.bias.to(at::kDouble)}, targets);
    const BatchInvariantScope scope;
    const auto found = head_loss(hidden, head, targets, {.chunk_bytes = 30 * 301 * 4});
    EXPECT_LT(relative(found.nll, expected.nll), fp32_bound);
    EXPECT_TRUE(at::equal(found.correct.to(at::kDouble), expected.correct.to(at::kDouble)));
    EXPECT_NEAR(found.loss.item<double>(), expected.loss.item<double>(), 1e-5 * expected.loss.item<double>());
    same_for_all_threads([&] { return head_loss(hidden, head, targets).nll; });
    for (std::int64_t i = 0; i < 70; i += 5)
      EXPECT_TRUE(at::equal(head_loss(hidden.narrow(0, i, 1), head, targets.narrow(0, i, 1)).nll, found.nll.narrow(0, i, 1))) << i;
  }
}

}  // namespace
}  // namespace isotrope

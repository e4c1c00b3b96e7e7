#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/attention.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/kernels/rms_norm.h"
#include "isotrope/kernels/rope.h"
#include "isotrope/kernels/simd.h"
#include "isotrope/kernels/swiglu.h"

// Every kernel against its composed reference in float64: fp32 to a few units of its rounding, bf16 to one rounding of each value.
namespace isotrope {
namespace {

using at::Tensor;
using torch::autograd::variable_list;

double relative(const Tensor& got, const Tensor& expected) {
  const auto reference = expected.to(at::kDouble);
  return ((got.to(at::kDouble) - reference).norm() / reference.norm()).item<double>();
}

Tensor normal(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

Tensor leaf(const Tensor& value, at::ScalarType type) { return value.to(type).detach().clone().set_requires_grad(true); }

/// Runs `function` on leaves of `type` and in float64 on the same (already rounded) values; returns the largest relative
/// difference over the output and every input gradient.
double worst(const std::vector<Tensor>& inputs, at::ScalarType type, const auto& fast, const auto& slow) {
  variable_list a, b;
  for (const auto& input : inputs) a.push_back(leaf(input, type)), b.push_back(leaf(a.back(), at::kDouble));
  const auto out = fast(a), expected = slow(b);
  const auto upstream = normal(expected.sizes(), 99).to(type);
  const auto grads = torch::autograd::grad({out}, a, {upstream.to(out.scalar_type())});
  const auto expected_grads = torch::autograd::grad({expected}, b, {upstream.to(at::kDouble)});
  double largest = relative(out, expected);
  for (std::size_t i = 0; i < grads.size(); ++i) largest = std::max(largest, relative(grads[i], expected_grads[i]));
  return largest;
}

constexpr double fp32_bound = 2e-6, bf16_bound = 4e-3;  // bf16 keeps 8 bits: one rounding is up to 2^-9 = 2e-3 of a value

TEST(Kernels, RmsNormEqualsItsReference) {
  for (const auto& shape : {std::vector<std::int64_t>{3, 5, 33}, {4, 1, 2}, {700, 64}, {2, 768}}) {
    const std::vector<Tensor> inputs{normal(shape, 1) * 3, 1 + 0.1 * normal({shape.back()}, 2)};
    const auto fast = [](const variable_list& in) { return rms_norm(in[0], in[1], 1e-5); };
    const auto slow = [](const variable_list& in) { return reference::rms_norm(in[0], in[1], 1e-5); };
    EXPECT_LT(worst(inputs, at::kFloat, fast, slow), fp32_bound) << shape;
    EXPECT_LT(worst(inputs, at::kBFloat16, fast, slow), bf16_bound) << shape;
  }
}

TEST(Kernels, SwigluEqualsItsReference) {
  const std::vector<Tensor> inputs{normal({7, 129}, 3) * 4, normal({7, 129}, 4)};
  const auto fast = [](const variable_list& in) { return swiglu(in[0], in[1]); };
  const auto slow = [](const variable_list& in) { return reference::swiglu(in[0], in[1]); };
  EXPECT_LT(worst(inputs, at::kFloat, fast, slow), fp32_bound);
  EXPECT_LT(worst(inputs, at::kBFloat16, fast, slow), bf16_bound);
}

TEST(Kernels, RopeEqualsItsReferenceAndKeepsLengths) {
  const auto angles = at::arange(40, at::kDouble).unsqueeze(1) * at::pow(10000.0, -at::arange(6, at::kDouble) / 6).unsqueeze(0);
  const RopeTable table{angles.cos().to(at::kFloat), angles.sin().to(at::kFloat)};
  const auto positions = at::randint(0, 40, {2, 9}, at::kLong);
  const std::vector<Tensor> inputs{normal({2, 9, 3, 12}, 5)};
  const auto fast = [&](const variable_list& in) { return rope(in[0], table, positions); };
  const auto slow = [&](const variable_list& in) { return reference::rope(in[0], table, positions); };
  EXPECT_LT(worst(inputs, at::kFloat, fast, slow), fp32_bound);
  EXPECT_LT(worst(inputs, at::kBFloat16, fast, slow), bf16_bound);
  EXPECT_LT(relative(rope(inputs[0].to(at::kFloat), table, positions).norm(), inputs[0].norm()), 1e-6);
}

TEST(Kernels, AttentionEqualsItsReferenceWithGroupsCacheAndDocuments) {
  const auto documents = at::tensor({0, 0, 0, 1, 1, 2, 2, 2, 2, 0, 1, 1, 1, 1, 1, 2, 3, 3}, at::kLong).view({2, 9});
  struct Case {
    std::int64_t queries, keys, kv_heads;
    bool masked;
  };
  for (const auto& c : {Case{9, 9, 4, false}, {9, 9, 2, false}, {9, 9, 1, true}, {1, 9, 2, false}, {3, 9, 4, false}, {1, 1, 2, false}}) {
    AttentionOptions options;
    if (c.masked) options.documents = documents;
    const std::vector<Tensor> inputs{normal({2, 4, c.queries, 16}, 6), normal({2, c.kv_heads, c.keys, 16}, 7),
                                     normal({2, c.kv_heads, c.keys, 16}, 8)};
    const auto fast = [&](const variable_list& in) { return attention(in[0], in[1], in[2], options); };
    const auto slow = [&](const variable_list& in) { return reference::attention(in[0], in[1], in[2], options); };
    // One key alone: the softmax is constant, and q's and k's gradients are exactly zero on both sides.
    if (c.keys > 1) {
      EXPECT_LT(worst(inputs, at::kFloat, fast, slow), 5e-6) << c.queries << ' ' << c.kv_heads;
    }
    EXPECT_LT(relative(fast({inputs[0].to(at::kFloat), inputs[1].to(at::kFloat), inputs[2].to(at::kFloat)}), slow(inputs)), 5e-6);
  }
}

TEST(Kernels, AttentionOfOneDocumentIgnoresTheOthers) {
  const auto documents = at::tensor({0, 0, 0, 0, 1, 1, 1}, at::kLong).view({1, 7});
  auto q = normal({1, 2, 7, 8}, 1).to(at::kFloat), k = normal({1, 2, 7, 8}, 2).to(at::kFloat), v = normal({1, 2, 7, 8}, 3).to(at::kFloat);
  const AttentionOptions masked{.documents = documents};
  const auto together = attention(q, k, v, masked).narrow(2, 4, 3);
  const auto alone = attention(q.narrow(2, 4, 3), k.narrow(2, 4, 3), v.narrow(2, 4, 3));
  EXPECT_LT(relative(together, alone), 1e-6);
}

TEST(Kernels, HeadLossEqualsItsReferenceInEveryChunking) {
  const auto hidden = normal({37, 24}, 1), head = normal({101, 24}, 2) * 0.5;
  auto targets = at::randint(0, 101, {37}, at::kLong);
  targets[5] = ignored_target, targets[36] = ignored_target;
  for (const double z_loss : {0.0, 1e-2})
    for (const std::int64_t chunk_bytes : {std::int64_t{1}, std::int64_t{32} << 20}) {
      const HeadLossOptions options{.scale = 1.0 / 35, .z_loss = z_loss, .chunk_bytes = chunk_bytes};
      const auto fast = [&](const variable_list& in) { return head_loss(in[0], in[1], targets, options).loss; };
      const auto slow = [&](const variable_list& in) { return reference::head_loss(in[0], in[1], targets, options).loss; };
      EXPECT_LT(worst({hidden, head}, at::kFloat, fast, slow), fp32_bound);
      // bf16 rounds the logits (and the chunk's slopes) before the fp32 softmax: an absolute error of |logit|·2^-9 in the exponent.
      EXPECT_LT(worst({hidden, head}, at::kBFloat16, fast, slow), 1.5e-2);
      const auto nll = head_loss(hidden.to(at::kFloat), head.to(at::kFloat), targets, options).nll;
      EXPECT_LT(relative(nll, reference::head_loss(hidden, head, targets, options).nll), fp32_bound);
    }
}

TEST(Kernels, HeadLossOfASplitIsTheHeadLossOfTheWhole) {
  const auto hidden = leaf(normal({40, 16}, 1), at::kFloat), head = leaf(normal({50, 16}, 2), at::kFloat);
  const auto targets = at::randint(0, 50, {40}, at::kLong);
  const auto gradient = [&](std::vector<std::int64_t> cuts) {
    head.mutable_grad() = Tensor();
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      const auto count = cuts[i + 1] - cuts[i];
      head_loss(hidden.narrow(0, cuts[i], count), head, targets.narrow(0, cuts[i], count), {.scale = 1.0 / 40}).loss.backward();
    }
    return head.grad().clone();
  };
  EXPECT_LT(relative(gradient({0, 7, 8, 31, 40}), gradient({0, 40})), 7e-7);
}

TEST(Kernels, HeadLossRefusesATargetOutOfRange) {
  const auto hidden = at::zeros({2, 4}), head = at::zeros({5, 4});
  EXPECT_THROW(head_loss(hidden, head, at::tensor({0, 5}, at::kLong)), InputError);
  EXPECT_THROW(head_loss(hidden, head, at::tensor({-1, 0}, at::kLong)), InputError);
}

TEST(Kernels, ExpIsWithinTwoUnitsAndCoversTheEdges) {
  double largest = 0;
  for (float x = -87.0f; x < 88.7f; x += 0.0037f)
    largest = std::max(largest, std::abs(simd::exp(x) / std::exp(static_cast<double>(x)) - 1.0));
  EXPECT_LT(largest, 2.4e-7);  // two units in the last place of a float
  EXPECT_EQ(simd::exp(-100.0f), 0.0f);
  EXPECT_EQ(simd::exp(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_TRUE(std::isinf(simd::exp(89.0f)));
  EXPECT_TRUE(std::isnan(simd::exp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_EQ(simd::exp(0.0f), 1.0f);
}

TEST(Kernels, Bfloat16RoundsToNearestEven) {
  for (const float value : {1.0f, 1.00390625f, 1.01171875f, -3.14159f, 1e-40f, 3.4e38f, std::numeric_limits<float>::infinity()}) {
    c10::BFloat16 stored;
    simd::store(stored, value);
    EXPECT_EQ(stored.x, c10::BFloat16(value).x) << value;
  }
  c10::BFloat16 nan;
  simd::store(nan, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(std::isnan(simd::load(nan)));
}

}  // namespace
}  // namespace isotrope

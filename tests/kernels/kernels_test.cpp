#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/activations.h"
#include "isotrope/kernels/attention.h"
#include "isotrope/kernels/block_gemm.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/kernels/linear.h"
#include "isotrope/kernels/norms.h"
#include "isotrope/kernels/rope.h"
#include "isotrope/kernels/weight_gradient.h"
#include "tests/kernels/against_reference.h"

// Every kernel against its composed reference in float64: fp32 to a few units of its rounding, bf16 to one rounding of each value.
namespace isotrope {
namespace {

using at::Tensor;
using test::bf16_bound, test::fp32_bound, test::leaf, test::normal, test::relative, test::worst;
using torch::autograd::variable_list;

TEST(Kernels, RmsNormEqualsItsReference) {
  for (const auto& shape : {std::vector<std::int64_t>{3, 5, 33}, {4, 1, 2}, {700, 64}, {2, 768}}) {
    const std::vector<Tensor> inputs{normal(shape, 1) * 3, 1 + 0.1 * normal({shape.back()}, 2)};
    const auto fast = [](const variable_list& in) { return rms_norm(in[0], in[1], 1e-5); };
    const auto slow = [](const variable_list& in) { return reference::rms_norm(in[0], in[1], 1e-5); };
    EXPECT_LT(worst(inputs, at::kFloat, fast, slow), fp32_bound) << shape;
    EXPECT_LT(worst(inputs, at::kBFloat16, fast, slow), bf16_bound) << shape;
  }
}

TEST(Kernels, LayerNormEqualsItsReference) {
  for (const auto& shape : {std::vector<std::int64_t>{3, 5, 33}, {4, 1, 2}, {700, 64}, {2, 768}}) {
    const std::vector<Tensor> inputs{normal(shape, 1) * 3 + 1, 1 + 0.1 * normal({shape.back()}, 2), normal({shape.back()}, 3)};
    const auto fast = [](const variable_list& in) { return layer_norm(in[0], in[1], in[2], 1e-5); };
    const auto slow = [](const variable_list& in) { return reference::layer_norm(in[0], in[1], in[2], 1e-5); };
    // Two numbers normalise to ±1: the gradient of x is a small difference of large terms.
    if (shape.back() > 2) {
      EXPECT_LT(worst(inputs, at::kFloat, fast, slow), fp32_bound) << shape;
      EXPECT_LT(worst(inputs, at::kBFloat16, fast, slow), bf16_bound) << shape;
    } else {
      EXPECT_LT(relative(fast({inputs[0].to(at::kFloat), inputs[1].to(at::kFloat), inputs[2].to(at::kFloat)}), slow(inputs)), 1e-5);
    }
  }
}

TEST(Kernels, NormsOfASumEqualTheSumAndItsNorm) {
  const std::vector<Tensor> inputs{normal({9, 40}, 1), normal({9, 40}, 2), 1 + 0.1 * normal({40}, 3), normal({40}, 4)};
  // Both results are used further on, so that the gradient of the sum has two parts.
  const auto joined = [](const Residual& r) { return at::cat({r.sum, r.normed}, -1); };
  const auto layer = [&](const variable_list& in) { return joined(add_layer_norm(in[0], in[1], in[2], in[3], 1e-5)); };
  const auto plain_rms = [](const variable_list& in) {
    const auto sum = in[0] + in[1];
    return at::cat({sum, reference::rms_norm(sum, in[2], 1e-5)}, -1);
  };
  const auto plain_layer = [](const variable_list& in) {
    const auto sum = in[0] + in[1];
    return at::cat({sum, reference::layer_norm(sum, in[2], in[3], 1e-5)}, -1);
  };
  EXPECT_LT(worst(inputs, at::kFloat, layer, plain_layer), fp32_bound);
  EXPECT_LT(worst(inputs, at::kBFloat16, layer, plain_layer), 2 * bf16_bound);  // the sum itself is rounded before its norm
  const std::vector<Tensor> three(inputs.begin(), inputs.begin() + 3);
  const auto rms3 = [&](const variable_list& in) { return joined(add_rms_norm(in[0], in[1], in[2], 1e-5)); };
  EXPECT_LT(worst(three, at::kFloat, rms3, plain_rms), fp32_bound);
  EXPECT_LT(worst(three, at::kBFloat16, rms3, plain_rms), 2 * bf16_bound);
}

TEST(Kernels, GeluEqualsItsReference) {
  const std::vector<Tensor> inputs{normal({7, 129}, 3) * 4};
  const auto fast = [](const variable_list& in) { return gelu_tanh(in[0]); };
  const auto slow = [](const variable_list& in) { return reference::gelu_tanh(in[0]); };
  EXPECT_LT(worst(inputs, at::kFloat, fast, slow), fp32_bound);
  EXPECT_LT(worst(inputs, at::kBFloat16, fast, slow), bf16_bound);
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
  const auto documents = at::tensor({0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1, 1, 1, 1, 1, 2, 3, 3}, at::kLong).view({2, 9});
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

TEST(Kernels, BlockAttentionIsAsExactAsItsTypeAllows) {
  struct Case {
    std::int64_t batch, tokens, keys, heads, kv_heads, head_dim;
    bool causal, masked;
    std::int64_t window = -1;
    bool sloped = false;
  };
  // Around the sizes of blocks (64 and 256 tokens), odd lengths and head sizes, groups, documents of all lengths, keys from a cache;
  // windows that are shorter and longer than a block, on one side and on both, and biases by distance.
  for (const auto& c : {Case{2, 16, 16, 2, 2, 32, true, false},
                        {1, 64, 64, 2, 1, 64, true, false},
                        {2, 65, 65, 3, 3, 32, true, false},
                        {1, 300, 300, 2, 1, 48, true, false},
                        {2, 127, 127, 4, 2, 18, true, true},
                        {1, 257, 257, 1, 1, 128, false, false},
                        {1, 33, 97, 2, 2, 32, true, false},
                        {1, 600, 600, 1, 1, 64, true, true},
                        {1, 100, 100, 2, 2, 32, false, true},
                        {1, 300, 300, 2, 1, 32, true, false, 0},
                        {1, 300, 300, 2, 2, 32, true, false, 17},
                        {1, 700, 700, 1, 1, 32, true, false, 300},
                        {1, 300, 300, 2, 2, 32, false, false, 64},
                        {1, 130, 130, 2, 2, 32, false, true, 5},
                        {1, 33, 500, 2, 2, 32, true, false, 40},
                        {1, 33, 97, 4, 2, 32, true, false, -1, true},
                        {1, 300, 300, 4, 4, 32, true, true, -1, true},
                        {1, 90, 90, 3, 3, 16, false, false, 20, true}}) {
    AttentionOptions options{.scale = 0.2, .causal = c.causal};
    if (c.masked)
      options.documents = at::randint(0, 2, {c.batch, c.tokens}, at::make_generator<at::CPUGeneratorImpl>(4), at::kLong).cumsum(1) / 40;
    if (c.masked) options.documents = options.documents.floor().to(at::kLong);
    if (c.window >= 0) options.window = c.window;
    if (c.sloped) options.slopes = at::arange(1, c.heads + 1, at::kFloat) / 16;
    const std::vector<Tensor> inputs{normal({c.batch, c.heads, c.tokens, c.head_dim}, 6),
                                     normal({c.batch, c.kv_heads, c.keys, c.head_dim}, 7),
                                     normal({c.batch, c.kv_heads, c.keys, c.head_dim}, 8)};
    const auto own = [&](const variable_list& in) { return attention(in[0], in[1], in[2], options); };
    const auto exact = [&](const variable_list& in) { return reference::attention(in[0], in[1], in[2], options); };
    SCOPED_TRACE(std::to_string(c.tokens) + " tokens, window " + std::to_string(c.window) + (c.sloped ? ", sloped" : ""));
    // One key alone leaves q and k without a gradient to compare.
    if (c.window == 0) {
      const auto in = std::vector{inputs[0].to(at::kBFloat16), inputs[1].to(at::kBFloat16), inputs[2].to(at::kBFloat16)};
      EXPECT_LT(relative(own(in), exact(inputs)), bf16_bound);
      continue;
    }
    // Probabilities and their slopes are rounded to bf16 before their products: two or three roundings in a row.
    EXPECT_LT(worst(inputs, at::kBFloat16, own, exact), 1.5 * bf16_bound);
    EXPECT_LT(worst(inputs, at::kFloat, own, exact), 5e-6);
  }
}

TEST(Kernels, BlockAttentionTakesScoresOfAnySize) {
  // So large that one key has all the weight: the output is that key's value, nothing depends on q and k, and dv is the sum of the slopes
  // of those that look at it.
  for (const double size : {1e3, 1e4, 1e6, 1e9}) {
    const auto q = leaf(normal({1, 2, 64, 64}, 1) * size, at::kBFloat16), k = leaf(normal({1, 2, 64, 64}, 2) * size, at::kBFloat16),
               v = leaf(normal({1, 2, 64, 64}, 3), at::kBFloat16);
    const auto slope = normal({1, 2, 64, 64}, 4).to(at::kBFloat16);
    const auto run = [&](const auto& f) {
      const auto out = f(q, k, v);
      auto results = torch::autograd::grad({out}, {q, k, v}, {slope});
      results.push_back(out.detach());
      return results;
    };
    const auto own = run([](const auto& a, const auto& b, const auto& c) { return attention(a, b, c); });
    const auto exact = run([](const auto& a, const auto& b, const auto& c) {
      return reference::attention(a.to(at::kDouble), b.to(at::kDouble), c.to(at::kDouble));
    });
    EXPECT_LT(relative(own[2], exact[2]), bf16_bound) << size;
    EXPECT_LT(relative(own[3], exact[3]), bf16_bound) << size;
    EXPECT_TRUE(own[0].isfinite().all().item<bool>() && own[1].isfinite().all().item<bool>()) << size;
  }
}

TEST(Kernels, AttentionRefusesShapesThatDoNotBelongTogether) {
  const auto make = [](std::int64_t batch, std::int64_t heads, std::int64_t tokens, std::int64_t width) {
    return normal({batch, heads, tokens, width}, 1).to(at::kBFloat16);
  };
  const auto q = make(2, 5, 32, 16);
  EXPECT_THROW(attention(q, make(2, 2, 32, 16), make(2, 2, 32, 16)), Error);  // 5 heads over 2
  EXPECT_THROW(attention(q, make(2, 5, 32, 18), make(2, 5, 32, 16)), Error);
  EXPECT_THROW(attention(q, make(1, 5, 32, 16), make(1, 5, 32, 16)), Error);
  EXPECT_THROW(attention(q, make(2, 5, 32, 16), make(2, 5, 31, 16)), Error);
  EXPECT_THROW(attention(q, q, q, {.documents = at::zeros({1, 32}, at::kLong)}), Error);
  EXPECT_THROW(attention(q, q, q, {.documents = at::zeros({2, 32}, at::kInt)}), Error);
}

TEST(Kernels, BlockAttentionHasTheSameBitsForAnyNumberOfThreadsAndAnyBatch) {
  const auto make = [](std::uint64_t seed) { return normal({3, 4, 130, 32}, seed).to(at::kBFloat16); };
  const auto run = [&](std::int64_t first, std::int64_t count) {
    const auto q = leaf(make(1).narrow(0, first, count), at::kBFloat16), k = leaf(make(2).narrow(0, first, count), at::kBFloat16),
               v = leaf(make(3).narrow(0, first, count), at::kBFloat16);
    const auto out = attention(q, k, v);
    auto results = torch::autograd::grad({out}, {q, k, v}, {make(4).narrow(0, first, count)});
    results.push_back(out.detach());
    return results;
  };
  const auto before = at::get_num_threads();
  at::set_num_threads(2);
  const auto all = run(0, 3);
  at::set_num_threads(1);
  const auto alone = run(1, 1), again = run(0, 3);
  at::set_num_threads(before);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_TRUE(at::equal(all[i], again[i])) << i;
    EXPECT_TRUE(at::equal(all[i].narrow(0, 1, 1), alone[i])) << i;
  }
}

TEST(Kernels, BlockAttentionLetsNonFiniteValuesThrough) {
  auto q = normal({1, 1, 32, 16}, 1).to(at::kBFloat16);
  const auto k = normal({1, 1, 32, 16}, 2).to(at::kBFloat16), v = normal({1, 1, 32, 16}, 3).to(at::kBFloat16);
  q[0][0][5][3] = std::numeric_limits<double>::quiet_NaN();
  const auto bad = attention(q, k, v).isnan().any(-1)[0][0];
  EXPECT_TRUE(bad[5].item<bool>());
  EXPECT_EQ(bad.sum().item<std::int64_t>(), 1);  // of that query alone
}

TEST(Kernels, BlockAttentionNeverFeelsTheKeysThatAQueryDoesNotSee) {
  // Every key scores higher than the one before it, the eighth after a query by 128.5 powers of two: beyond what a float holds.
  const auto steps = (at::arange(64, at::kDouble) / 4).view({1, 1, 64, 1}).expand({1, 2, 64, 32});
  const std::vector<Tensor> inputs{at::ones({1, 2, 64, 32}, at::kDouble), steps, normal({1, 2, 64, 32}, 3)};
  const AttentionOptions options{.scale = 128.5 / 64 * std::log(2.0)};
  const auto own = [&](const variable_list& in) { return attention(in[0], in[1], in[2], options); };
  const auto exact = [&](const variable_list& in) { return reference::attention(in[0], in[1], in[2], options); };
  const auto gradient = [&](const auto& f) {
    const auto v = leaf(inputs[2], at::kBFloat16), q = leaf(inputs[0], at::kBFloat16), k = leaf(inputs[1], at::kBFloat16);
    return torch::autograd::grad({f({q, k, v})}, {q, k, v}, {normal({1, 2, 64, 32}, 4).to(at::kBFloat16)});
  };
  for (const auto& one : gradient(own)) EXPECT_TRUE(one.isfinite().all().item<bool>());
  EXPECT_LT(relative(gradient(own)[2], gradient(exact)[2]), bf16_bound);
}

TEST(Kernels, BlockProductsEqualPlainOnes) {
  for (const auto [m, n, k] : {std::array<std::int64_t, 3>{64, 256, 32}, {5, 17, 6}, {1, 1, 2}, {33, 48, 64}}) {
    const auto a = normal({m, k}, 1).to(at::kBFloat16), b = normal({k, n}, 2).to(at::kBFloat16), start = normal({m, n}, 3).to(at::kFloat);
    auto pairs = at::empty({k, n}, at::kBFloat16);
    const auto data = [](const Tensor& x) { return static_cast<c10::BFloat16*>(x.data_ptr()); };
    pack_pairs(data(b), n, k, n, data(pairs), k);
    auto transposed = at::empty({k, n}, at::kBFloat16);
    const auto columns = b.t().contiguous();
    pack_transposed_pairs(data(columns), k, n, k, data(transposed), n);
    EXPECT_TRUE(at::equal(pairs, transposed));
    auto back = at::empty({k, n}, at::kBFloat16);
    pack_transposed(data(columns), k, n, k, data(back), n);
    EXPECT_TRUE(at::equal(back, b));
    const auto expected = at::mm(a.to(at::kDouble), b.to(at::kDouble)) + start.to(at::kDouble);
    for (auto* product : {&block_gemm, &reference::block_gemm}) {
      auto sums = start.clone();
      product(m, n, k, data(a), k, data(pairs), n, sums.mutable_data_ptr<float>(), n, true);
      EXPECT_LT(relative(sums, expected), 1e-6) << m << ' ' << n << ' ' << k;
    }
  }
}

TEST(Kernels, OuterProductsAddUpInFloat) {
  for (const auto [k, m, n] : {std::array<std::int64_t, 3>{700, 70, 300}, {3, 5, 7}, {1, 64, 256}, {513, 33, 18}})
    for (const auto type : {at::kBFloat16, at::kFloat}) {
      const auto a = normal({k, m}, 1).to(type), b = normal({k, n}, 2).to(type);
      const auto expected = at::mm(a.to(at::kDouble).t(), b.to(at::kDouble));
      auto sum = at::full({m, n}, std::numeric_limits<float>::quiet_NaN());
      add_outer_product_(sum, a, b, /*overwrite=*/true);
      EXPECT_LT(relative(sum, expected), 1e-6) << k << ' ' << m << ' ' << n;
      add_outer_product_(sum, a, b);
      EXPECT_LT(relative(sum, 2 * expected), 1e-6) << k << ' ' << m << ' ' << n;
    }
}

TEST(Kernels, GradientSinksReceiveWhatAutogradWouldHaveCarried) {
  const auto ids = at::randint(0, 11, {2, 9}, at::make_generator<at::CPUGeneratorImpl>(5), at::kLong);
  const auto run = [&](at::ScalarType type, bool sinks, bool transposed) {
    const auto table = leaf(normal({11, 24}, 1), type), bias = leaf(normal({13}, 3), type);
    const auto weight = leaf(transposed ? normal({24, 13}, 2) : normal({13, 24}, 2), type);
    auto table_sum = at::full({11, 24}, 7.0f), weight_sum = at::full(weight.sizes(), 7.0f);  // old content is overwritten
    const Linear rows(table), layer(weight, bias);
    layer.slot->transposed = transposed;
    if (sinks) rows.slot->sink = {table_sum}, layer.slot->sink = {weight_sum};
    const auto twice = [&] { return layer(embedding_lookup(rows.slot, ids)).to(at::kDouble); };
    const auto slope = normal({2, 9, 13}, 4);
    (twice() * slope).sum().backward();
    (twice() * slope).sum().backward();
    EXPECT_EQ(table.grad().defined(), !sinks);
    return std::vector<Tensor>{sinks ? table_sum : table.grad(), sinks ? weight_sum : weight.grad(), bias.grad()};
  };
  for (const bool transposed : {false, true}) {
    const auto exact = run(at::kDouble, false, transposed), fp32 = run(at::kFloat, true, transposed),
               bf16 = run(at::kBFloat16, true, transposed), carried = run(at::kBFloat16, false, transposed);
    for (std::size_t i = 0; i < exact.size(); ++i) {
      EXPECT_LT(relative(fp32[i], exact[i]), fp32_bound) << i;
      EXPECT_LT(relative(bf16[i], exact[i]), 2 * bf16_bound) << i;
      EXPECT_LT(relative(bf16[i], exact[i]), 1.05 * relative(carried[i], exact[i])) << i;
    }
  }
}

TEST(Kernels, HeadLossFillsASinkAndRefusesAScaledLoss) {
  const auto hidden = leaf(normal({37, 24}, 1), at::kFloat), head = leaf(normal({101, 24}, 2), at::kFloat);
  const auto targets = at::randint(0, 101, {37}, at::kLong);
  auto sum = at::full({101, 24}, 7.0f);
  const Linear layer(head);
  layer.slot->sink = {sum};
  HeadLossOptions options{.scale = 1.0 / 37, .chunk_bytes = 1};
  const auto d_hidden = torch::autograd::grad({head_loss(hidden, layer, targets, options).loss}, {hidden})[0];
  const auto a = leaf(hidden, at::kDouble), b = leaf(head, at::kDouble);
  const auto exact = torch::autograd::grad({reference::head_loss(a, b, targets, options).loss}, {a, b});
  EXPECT_LT(relative(d_hidden, exact[0]), fp32_bound);
  EXPECT_LT(relative(sum, exact[1]), fp32_bound);
  EXPECT_THROW((2 * head_loss(hidden, layer, targets, options).loss).backward(), WorkError);
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
  const auto hidden = normal({37, 24}, 1), head = normal({101, 24}, 2) * 0.5, bias = normal({101}, 3);
  auto targets = at::randint(0, 101, {37}, at::kLong);
  targets[5] = ignored_target, targets[36] = ignored_target;
  for (std::int64_t i = 0; i < 12; ++i)  // some that the model would hit
    if (i != 5) targets[i] = at::matmul(hidden[i], head.t()).argmax();
  for (const double z_loss : {0.0, 1e-2})
    for (const std::int64_t chunk_bytes : {std::int64_t{1}, std::int64_t{32} << 20}) {
      const HeadLossOptions options{.scale = 1.0 / 35, .z_loss = z_loss, .chunk_bytes = chunk_bytes};
      const auto fast = [&](const variable_list& in) { return head_loss(in[0], in[1], targets, options).loss; };
      const auto slow = [&](const variable_list& in) { return reference::head_loss(in[0], in[1], targets, options).loss; };
      EXPECT_LT(worst({hidden, head}, at::kFloat, fast, slow), fp32_bound);
      // bf16 rounds the logits (and the chunk's slopes) before the fp32 softmax: an absolute error of |logit|·2^-9 in the exponent.
      EXPECT_LT(worst({hidden, head}, at::kBFloat16, fast, slow), 1.5e-2);
      const auto fast_biased = [&](const variable_list& in) { return head_loss(in[0], {in[1], in[2]}, targets, options).loss; };
      const auto slow_biased = [&](const variable_list& in) { return reference::head_loss(in[0], {in[1], in[2]}, targets, options).loss; };
      EXPECT_LT(worst({hidden, head, bias}, at::kFloat, fast_biased, slow_biased), fp32_bound);
      EXPECT_LT(worst({hidden, head, bias}, at::kBFloat16, fast_biased, slow_biased), 1.5e-2);
      const auto exact = reference::head_loss(hidden, head, targets, options);
      const auto found = head_loss(hidden.to(at::kFloat), head.to(at::kFloat), targets, options);
      EXPECT_LT(relative(found.nll, exact.nll), fp32_bound);
      EXPECT_TRUE(at::equal(found.correct, exact.correct));
      EXPECT_GE(found.correct.sum().item<double>(), 11);
      const auto rounded = head_loss(hidden.to(at::kBFloat16), head.to(at::kBFloat16), targets, options);
      EXPECT_GE(rounded.correct.sum().item<double>(), 8);  // near-ties may turn
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

}  // namespace
}  // namespace isotrope

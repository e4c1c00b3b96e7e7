// The slot of a matrix: its additions and observers, against the matrix that they amount to.
#include "isotrope/kernels/linear.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/kernels/head_probabilities.h"
#include "tests/kernels/against_reference.h"
#include "tests/kernels/watched_allocator.h"

namespace isotrope {
namespace {

using namespace test;

struct Additions {
  bool multipliers = false, lora = false, transposed = false, sink = false;
};

/// A layer of 7 → 5 with what is asked for; every tensor a leaf.
Linear layer_of(const Additions& with, at::ScalarType type) {
  Linear layer(leaf(with.transposed ? normal({7, 5}, 1) : normal({5, 7}, 1), type), leaf(normal({5}, 2), type));
  auto& s = *layer.slot;
  s.transposed = with.transposed;
  if (with.multipliers) s.row = leaf(normal({5}, 3), type), s.column = leaf(normal({7}, 4), type), s.scale = leaf(normal({}, 5), type);
  if (with.lora) s.down = leaf(normal({2, 7}, 6), type), s.up = leaf(normal({5, 2}, 7), type), s.lora_scale = 0.7;
  if (with.sink) s.sink = {at::full(s.weight.sizes(), 9.0)};
  return layer;
}

std::vector<Tensor> parts_of(const Linear& layer) {
  std::vector<Tensor> parts{layer.slot->weight, layer.bias};
  for (const auto& part : {layer.slot->row, layer.slot->column, layer.slot->scale, layer.slot->down, layer.slot->up})
    if (part.defined()) parts.push_back(part);
  return parts;
}

std::vector<Additions> all_additions() {
  std::vector<Additions> all;
  for (int i = 0; i < 16; ++i) all.push_back({(i & 1) != 0, (i & 2) != 0, (i & 4) != 0, (i & 8) != 0});
  return all;
}

/// W̃ᵀ written out by its definition, in float64.
Tensor effective_by_definition(const LinearSlot& s) {
  auto w = (s.transposed ? s.weight.t() : s.weight).to(at::kDouble);
  if (s.row.defined()) w = s.scale.to(at::kDouble) * at::mm(at::mm(at::diag(s.row.to(at::kDouble)), w), at::diag(s.column.to(at::kDouble)));
  if (s.up.defined()) w = w + s.lora_scale * at::mm(s.up.to(at::kDouble), s.down.to(at::kDouble));
  return w;
}

/// The gradients that a loss of the layer leaves, W's from its sink where it has one.
std::vector<Tensor> gradients_of(const Linear& layer, const Tensor& loss) {
  loss.backward();
  std::vector<Tensor> found;
  for (const auto& part : parts_of(layer)) found.push_back(part.grad());
  if (layer.slot->sink) {
    EXPECT_FALSE(found[0].defined());
    found[0] = layer.slot->sink.value;
  }
  return found;
}

void expect_close(const std::vector<Tensor>& found, const std::vector<Tensor>& expected, double bound, const char* what) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_TRUE(found[i].defined()) << what << ' ' << i;
    EXPECT_LT(relative(found[i], expected[i]), bound) << what << ' ' << i;
  }
}

TEST(LinearSlot, ProductsAndGradientsAreThoseOfTheMatrixThatItAmountsTo) {
  const auto x = normal({2, 3, 7}, 8), slope = normal({2, 3, 5}, 9);
  for (const auto& with : all_additions()) {
    auto exact = with;
    exact.sink = false;
    const auto expected = layer_of(exact, at::kDouble);
    const auto x64 = leaf(x, at::kDouble);
    const auto y64 = at::linear(x64, effective_by_definition(*expected.slot), expected.bias);
    const auto d64 = gradients_of(expected, (y64 * slope).sum());
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      const auto layer = layer_of(with, type);
      const auto x_in = leaf(x, type);
      const auto y = layer(x_in);
      const double bound = type == at::kFloat ? fp32_bound : 4 * bf16_bound;
      EXPECT_LT(relative(y, y64), bound);
      expect_close(gradients_of(layer, (y.to(at::kDouble) * slope).sum()), d64, bound, "layer");
      EXPECT_LT(relative(x_in.grad(), x64.grad()), bound);
      const at::NoGradGuard no_grad;
      EXPECT_LT(relative(effective_weight(*layer.slot),
                         with.transposed ? effective_by_definition(*layer.slot).t() : effective_by_definition(*layer.slot)),
                bound);
      EXPECT_LT(relative(linears(x_in, {&layer, &layer})[1], y64), bound);
    }
  }
}

TEST(LinearSlot, LookedUpRowsAreThoseOfTheMatrixThatItAmountsTo) {
  const auto ids = at::tensor({4, 0, 4, 1}, at::kLong).view({2, 2});
  const auto slope = normal({2, 2, 7}, 9);
  for (const auto& with : all_additions()) {
    if (with.transposed) continue;
    auto exact = with;
    exact.sink = false;
    auto expected = layer_of(exact, at::kDouble), table = layer_of(with, at::kFloat);
    expected.bias = table.bias = Tensor();
    const auto rows = at::embedding(effective_by_definition(*expected.slot), ids);
    const auto found = embedding_lookup(table.slot, ids);
    EXPECT_LT(relative(found, rows), fp32_bound);
    (rows * slope).sum().backward();
    (found.to(at::kDouble) * slope).sum().backward();
    const auto a = parts_of(table), b = parts_of(expected);
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (i == 1) continue;  // the bias
      const auto gradient = i == 0 && with.sink ? table.slot->sink.value : a[i].grad();
      EXPECT_LT(relative(gradient, b[i].grad()), fp32_bound) << i;
    }
  }
}

TEST(LinearSlot, HeadsLoseAsTheMatrixThatTheyAmountTo) {
  const auto hidden = normal({9, 7}, 8);
  const auto ids = at::tensor({0, 4, 1, 2, 3, 4, 0, 1, 2}, at::kLong);
  const auto upstream = normal({9}, 10), q = at::softmax(normal({9, 5}, 11), 1), weights = normal({9}, 15).abs().to(at::kFloat);
  const Linear teacher(normal({5, 3}, 12).to(at::kFloat), normal({5}, 13).to(at::kFloat)),
      teacher64(teacher.weight().to(at::kDouble), teacher.bias.to(at::kDouble));
  const auto seen = normal({9, 3}, 14);
  using Loss = std::function<Tensor(const Tensor&, const Linear&, const Linear&)>;
  const std::vector<std::pair<const char*, Loss>> losses{
      {"head_loss",
       [&](const Tensor& h, const Linear& head, const Linear&) {
         return head_loss(h, head, ids,
                          {.scale = 0.3, .z_loss = 0.1, .weights = weights.to(h.scalar_type() == at::kDouble ? at::kDouble : at::kFloat)})
             .loss;
       }},
      {"token_log_probabilities",
       [&](const Tensor& h, const Linear& head, const Linear&) { return (token_log_probabilities(h, head, ids) * upstream).sum(); }},
      {"head_cross_entropy",
       [&](const Tensor& h, const Linear& head, const Linear&) { return (head_cross_entropy(h, head, q) * upstream).sum(); }},
      {"head_kl", [&](const Tensor& h, const Linear& head, const Linear& from) {
         return (head_kl(h, head, seen.to(h.scalar_type()), from, 2.5) * upstream).sum();
       }}};
  for (const auto& [name, loss] : losses)
    for (const auto& with : all_additions()) {
      if (with.transposed) continue;
      auto exact = with;
      exact.sink = false;
      const auto expected = layer_of(exact, at::kDouble), head = layer_of(with, at::kFloat);
      const auto h64 = leaf(hidden, at::kDouble), h = leaf(hidden, at::kFloat);
      const auto l64 = loss(h64, {effective_by_definition(*expected.slot), expected.bias}, teacher64), l = loss(h, head, teacher);
      EXPECT_LT(relative(l, l64), fp32_bound) << name;
      expect_close(gradients_of(head, l), gradients_of(expected, l64), 4 * fp32_bound, name);
      EXPECT_LT(relative(h.grad(), h64.grad()), 4 * fp32_bound) << name;
    }
}

TEST(LinearSlot, RowObjectivesEqualTheirDefinitions) {
  const auto hidden = normal({4, 7}, 1);
  const Linear head(normal({5, 7}, 2)), teacher(normal({5, 7}, 3));
  const auto logits = at::linear(hidden, head.weight()), log_p = at::log_softmax(logits, 1);
  const auto ids = at::tensor({3, 0, 4, 4}, at::kLong);
  EXPECT_LT(relative(token_log_probabilities(hidden, head, ids), log_p.gather(1, ids.unsqueeze(1)).squeeze(1)), 1e-12);
  const auto q = at::softmax(normal({4, 5}, 4), 1);
  EXPECT_LT(relative(head_cross_entropy(hidden, head, q), -(q * log_p).sum(1)), 1e-12);
  EXPECT_LT(relative(head_cross_entropy(hidden, head, q.narrow(0, 1, 1)), -(q[1] * log_p).sum(1)), 1e-12);
  const auto t = at::log_softmax(at::linear(hidden, teacher.weight()) / 2, 1), s = at::log_softmax(logits / 2, 1);
  EXPECT_LT(relative(head_kl(hidden, head, hidden, teacher, 2), at::kl_div(s, t, at::Reduction::None, /*log_target=*/true).sum(1)), 1e-12);
  EXPECT_LT(head_kl(hidden, head, hidden, head).abs().max().item<double>(), 1e-12);
  EXPECT_THROW(token_log_probabilities(hidden, head, ids + 1), InputError);
  EXPECT_THROW(head_cross_entropy(hidden, head, q.narrow(0, 0, 2)), InputError);
}

TEST(LinearSlot, FrozenHeadsCostNoGradientOfTheirOwn) {
  const Linear head(normal({4000, 64}, 1).to(at::kFloat));
  const auto hidden = leaf(normal({2, 64}, 2), at::kFloat), ids = at::tensor({7, 11}, at::kLong);
  const auto differentiate = [&] { (head_loss(hidden, head, ids, {}).loss + token_log_probabilities(hidden, head, ids).sum()).backward(); };
  EXPECT_LT(test::largest_allocation(differentiate), 4000 * 64 * 4);
  EXPECT_TRUE(hidden.grad().defined());
  EXPECT_FALSE(head.weight().grad().defined());
  head.weight().set_requires_grad(true);
  EXPECT_GE(test::largest_allocation(differentiate), 4000 * 64 * 4) << "one that trains does";
}

TEST(LinearSlot, ObserversSeeInputsAndGradientsWhoseProductsAreTheWeightsGradient) {
  for (const bool frozen : {false, true})
    for (const bool transposed : {false, true}) {
      const auto layer = layer_of({.transposed = transposed}, at::kFloat);
      layer.slot->weight.set_requires_grad(!frozen);
      int inputs = 0;
      auto sum = at::zeros({5, 7}, at::kDouble);
      layer.slot->on_input = [&](const Tensor& x) { inputs += x.sizes() == at::IntArrayRef({2, 3, 7}); };
      layer.slot->on_gradient = [&](const Tensor& x, const Tensor& dy) { sum += at::mm(dy.to(at::kDouble).t(), x.to(at::kDouble)); };
      const auto x = leaf(normal({2, 3, 7}, 8), at::kFloat);
      layer(x).square().sum().backward();
      EXPECT_EQ(inputs, 1);
      const auto y = at::linear(x.detach().to(at::kDouble), effective_by_definition(*layer.slot), layer.bias.to(at::kDouble));
      const auto expected = at::mm((2 * y).flatten(0, 1).t(), x.detach().to(at::kDouble).flatten(0, 1));
      EXPECT_LT(relative(sum, expected), 1e-6);
      if (!frozen) EXPECT_LT(relative(transposed ? layer.weight().grad().t() : layer.weight().grad(), sum), fp32_bound);
    }
}

TEST(LinearSlot, LowRankFactorsOfAFrozenMatrixCostNoGradientOfIt) {
  Linear layer(normal({600, 500}, 1).to(at::kFloat));
  layer.slot->down = leaf(normal({2, 500}, 6), at::kFloat), layer.slot->up = leaf(normal({600, 2}, 7), at::kFloat);
  const auto x = leaf(normal({3, 500}, 8), at::kFloat);
  EXPECT_LT(test::largest_allocation([&] { layer(x).sum().backward(); }), 600 * 500 * 4);
  EXPECT_TRUE(layer.slot->up.grad().defined());
}

TEST(LinearSlot, SinksSumWhatSeveralPassesAddThroughMultipliers) {
  const auto layer = layer_of({.multipliers = true, .sink = true}, at::kFloat), exact = layer_of({.multipliers = true}, at::kDouble);
  for (const std::int64_t seed : {8, 9}) {
    const auto x = normal({3, 7}, seed);
    (layer(x.to(at::kFloat)) + layer(2 * x.to(at::kFloat))).square().sum().backward();  // and twice in one pass
    (exact(x) + exact(2 * x)).square().sum().backward();
  }
  EXPECT_LT(relative(layer.slot->sink.value, exact.weight().grad()), fp32_bound);
  EXPECT_LT(relative(layer.slot->row.grad(), exact.slot->row.grad()), fp32_bound);
}

TEST(LinearSlot, FrozenWeightsLeaveTheirSinkAndTrainTheirBias) {
  const auto layer = layer_of({.multipliers = true, .sink = true}, at::kFloat), plain = layer_of({.sink = true}, at::kFloat);
  for (const auto& one : {layer, plain}) {
    one.slot->weight.set_requires_grad(false);
    const auto x = normal({3, 7}, 8).to(at::kFloat);
    (one(x).sum() + head_loss(x, one, at::tensor({1, 2, 0}, at::kLong)).loss).backward();
    EXPECT_TRUE(one.slot->sink.empty);
    EXPECT_TRUE(one.bias.grad().defined());
  }
  EXPECT_TRUE(layer.slot->row.grad().defined());
}

TEST(LinearSlot, AdditionsKeepEachRowItsOwnInABatchInvariantScope) {
  const at::NoGradGuard no_grad;
  const BatchInvariantScope scope;
  const auto layer = layer_of({.multipliers = true, .lora = true}, at::kFloat);
  const auto x = normal({40, 7}, 8).to(at::kFloat);
  const auto ids = at::arange(40, at::kLong).remainder(5);
  const auto y = layer(x), log_p = token_log_probabilities(x, layer, ids), rows = embedding_lookup(layer.slot, ids);
  for (std::int64_t i = 0; i < 40; i += 7) {
    EXPECT_TRUE(at::equal(layer(x.narrow(0, i, 1)), y.narrow(0, i, 1))) << i;
    EXPECT_TRUE(at::equal(token_log_probabilities(x.narrow(0, i, 1), layer, ids.narrow(0, i, 1)), log_p.narrow(0, i, 1))) << i;
    EXPECT_TRUE(at::equal(embedding_lookup(layer.slot, ids.narrow(0, i, 1)), rows.narrow(0, i, 1))) << i;
  }
}

TEST(LinearSlot, AGradientByTheInputAloneLeavesSinksAsTheyAre) {
  const auto layer = layer_of({.multipliers = true, .sink = true}, at::kFloat), plain = layer_of({.sink = true}, at::kFloat);
  const auto x = leaf(normal({3, 7}, 8), at::kFloat), ids = at::tensor({1, 2, 0}, at::kLong);
  for (const auto& one : {layer, plain}) {
    torch::autograd::grad({one(x).sum() + token_log_probabilities(x, one, ids).sum()}, {x});
    EXPECT_TRUE(one.slot->sink.empty);
  }
}

TEST(LinearSlot, WeightsOfRowsMayLieAnyhowButMustBeOneARow) {
  const auto hidden = normal({4, 7}, 1).to(at::kFloat), weights = normal({4, 3}, 3).abs().to(at::kFloat).select(1, 1);
  const Linear head(normal({5, 7}, 2).to(at::kFloat));
  const auto ids = at::tensor({1, 2, 0, 4}, at::kLong);
  EXPECT_LT(relative(head_loss(hidden, head, ids, {.weights = weights}).loss, (head_loss(hidden, head, ids).nll * weights).sum()), 1e-6);
  EXPECT_THROW(head_loss(hidden, head, ids, {.weights = at::ones({4, 1})}), InputError);
  EXPECT_THROW(head_kl(hidden, head, hidden.narrow(0, 0, 2), head), InputError);
  EXPECT_THROW(head_kl(hidden, head, hidden, head, 0), InputError);
}

}  // namespace
}  // namespace isotrope

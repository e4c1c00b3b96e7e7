// The LSTM's recurrence against its composed reference in float64; in the suite that runs once for every instruction set.
#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/projected_lstm.h"
#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using at::Tensor;
using test::bf16_bound, test::fp32_bound, test::leaf, test::normal, test::relative, test::worst;
using torch::autograd::variable_list;

struct LstmCase {
  std::int64_t batch, tokens, cells, out;
};

Tensor documents_of_case(const LstmCase& c) {  // another place of change in each row
  const auto place = at::arange(c.tokens, at::kLong).unsqueeze(0) + at::arange(c.batch, at::kLong).unsqueeze(1);
  return at::floor_divide(place, 3);
}

Tensor lstm(const Tensor& gates, const Tensor& hh, const Tensor& hr, const LstmOptions& options = {}) {
  return projected_lstm(gates, Linear(hh).slot, Linear(hr).slot, options);
}

TEST(Kernels, ProjectedLstmEqualsItsReference) {
  for (const auto& c : {LstmCase{3, 7, 5, 4}, {1, 1, 3, 2}, {2, 33, 40, 16}, {5, 4, 17, 17}})
    for (const bool backwards : {false, true})
      for (const bool packed : {false, true}) {
        const LstmOptions options{.documents = packed ? documents_of_case(c) : Tensor(), .backwards = backwards};
        // Weights too small for chaos: there, the rounding of a token grows with every one that follows.
        const std::vector<Tensor> inputs{normal({c.batch, c.tokens, 4 * c.cells}, 1), 0.15 * normal({4 * c.cells, c.out}, 2),
                                         0.15 * normal({c.out, c.cells}, 3)};
        const auto fast = [&](const variable_list& in) { return lstm(in[0], in[1], in[2], options); };
        const auto slow = [&](const variable_list& in) { return reference::projected_lstm(in[0], in[1], in[2], options); };
        const auto where = fmt::format("{} {} {} {} {} {}", c.batch, c.tokens, c.cells, c.out, backwards, packed);
        EXPECT_LT(worst(inputs, at::kFloat, fast, slow), fp32_bound) << where;
        EXPECT_LT(worst(inputs, at::kBFloat16, fast, slow), bf16_bound) << where;
      }
}

TEST(Kernels, ProjectedLstmKeepsTheDigitsOfSmallCells) {
  const std::vector<Tensor> inputs{1e-5 * normal({2, 3, 24}, 1), 1e-5 * normal({24, 4}, 2), normal({4, 6}, 3)};
  const auto fast = [&](const variable_list& in) { return lstm(in[0], in[1], in[2]); };
  const auto slow = [&](const variable_list& in) { return reference::projected_lstm(in[0], in[1], in[2]); };
  EXPECT_LT(worst(inputs, at::kFloat, fast, slow), fp32_bound);
}

TEST(Kernels, ProjectedLstmSaturatesWithoutNan) {
  const auto gates = at::full({1, 6, 8}, 1e4, at::kFloat), weight = at::ones({8, 2}, at::kFloat), project = at::ones({2, 2}, at::kFloat);
  for (const float sign : {1.0F, -1.0F}) {
    const auto h = lstm(sign * gates, weight, project);
    EXPECT_TRUE(at::isfinite(h).all().item<bool>());
    EXPECT_TRUE(at::allclose(h, reference::projected_lstm(sign * gates, weight, project)));
  }
}

TEST(Kernels, ProjectedLstmFillsTheSinksOfItsWeights) {
  const auto gates = normal({3, 5, 24}, 1);
  const auto run = [&](bool sinks) {
    std::vector<Tensor> in{leaf(gates, at::kFloat), leaf(normal({24, 4}, 2), at::kFloat), leaf(normal({4, 6}, 3), at::kFloat)};
    std::vector<Tensor> filled{at::zeros({24, 4}), at::zeros({4, 6})};
    const Linear hh(in[1]), hr(in[2]);
    if (sinks) hh.slot->sink = {filled[0]}, hr.slot->sink = {filled[1]};
    projected_lstm(in[0], hh.slot, hr.slot).square().sum().backward();
    EXPECT_EQ(in[1].grad().defined(), !sinks);
    return sinks ? filled : std::vector<Tensor>{in[1].grad(), in[2].grad()};
  };
  const auto plain = run(false), sunk = run(true);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_LT(relative(sunk[i], plain[i]), 1e-6);
}

TEST(Kernels, ProjectedLstmRefusesShapesThatDoNotFit) {
  const auto zeros = [](at::IntArrayRef shape) { return at::zeros(shape, at::kFloat); };
  EXPECT_THROW(lstm(zeros({1, 2, 8}), zeros({8, 3}), zeros({3, 4})), WorkError);
  EXPECT_THROW(lstm(zeros({1, 2, 8}), zeros({8, 3}), zeros({2, 2})), WorkError);
  EXPECT_THROW(lstm(zeros({1, 0, 8}), zeros({8, 3}), zeros({3, 2})), WorkError);
  EXPECT_THROW(lstm(zeros({1, 2, 8}), zeros({8, 3}), zeros({3, 2}), {.documents = at::zeros({2, 1}, at::kLong)}), WorkError);
}

}  // namespace
}  // namespace isotrope

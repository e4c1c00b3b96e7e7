#include "isotrope/geometry/spectrum.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/kernels/spectra.h"
#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using test::normal;

/// A matrix of these singular values.
at::Tensor with_values(const std::vector<double>& values, std::int64_t m, std::int64_t n) {
  const auto r = static_cast<std::int64_t>(values.size());
  const auto left = orthonormal_columns(normal({m, r}, 1)), right = orthonormal_columns(normal({n, r}, 2));
  return (left * at::tensor(values, at::kDouble)).mm(right.t());
}

SingularValues values_of(const at::Tensor& x, std::int64_t top = 0) {
  const SpectrumInput one[] = {{"it", x, top}};
  return singular_values(one).front();
}

std::vector<double> spike_and_tail(std::int64_t r, std::int64_t k) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < r; ++i)
    values.push_back(i < k ? 100.0 - static_cast<double>(i) : std::pow(static_cast<double>(i - k + 1), -0.3));
  return values;
}

TEST(SingularValues, AreThoseTheMatrixWasMadeOf) {
  const auto expected = spike_and_tail(40, 2);
  for (const auto& [m, n] : {std::pair{40, 40}, {40, 300}, {300, 40}, {50, 40}}) {
    const auto found = values_of(with_values(expected, m, n));
    ASSERT_EQ(found.values.size(), 40u);
    EXPECT_FALSE(found.truncated);
    EXPECT_EQ(found.rank, 40);
    double energy = 0;
    for (std::size_t i = 0; i < 40; ++i) {
      EXPECT_NEAR(found.values[i], expected[i], 1e-12 * expected[0]);
      energy += expected[i] * expected[i];
    }
    EXPECT_NEAR(found.energy, energy, 1e-9 * energy);
  }
}

TEST(SingularValues, TheLeadingOnesAreFoundWithoutTheRest) {
  const auto expected = spike_and_tail(200, 5);
  const auto found = values_of(with_values(expected, 200, 320), 5);
  ASSERT_EQ(found.values.size(), 5u);
  EXPECT_TRUE(found.truncated);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(found.values[i], expected[i], 1e-9 * expected[i]);
  EXPECT_NEAR(spike_of(found, 0.025).energy, spike_of(values_of(with_values(expected, 200, 320)), 0.025).energy, 1e-9);
  EXPECT_TRUE(std::isnan(spike_of(found, 0.025).gap));  // the tail was not seen
  EXPECT_TRUE(std::isnan(spike_of(found, 0.5).energy));
  EXPECT_FALSE(values_of(with_values(expected, 200, 320), 200).truncated);
  const auto flat = values_of(normal({100, 100}, 3), 10);  // no gap helps: still within some percent, and never above
  const auto all = values_of(normal({100, 100}, 3));
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_LE(flat.values[i], all.values[i] * (1 + 1e-12));
    EXPECT_GE(flat.values[i], all.values[i] * 0.95);
  }
}

TEST(Spike, IsMeasuredByItsDefinition) {
  const auto spike = spike_of(values_of(with_values({8, 4, 2, 1, 1, 0.5}, 6, 9)), 1.0 / 3);
  EXPECT_EQ(spike.rank, 2);
  EXPECT_NEAR(spike.energy, (64 + 16) / (64 + 16 + 4 + 1 + 1 + 0.25), 1e-12);
  EXPECT_NEAR(spike.gap, std::sqrt(32.0), 1e-12);  // over the median of 2, 1, 1, 0.5
  EXPECT_EQ(spike_of({.values = {3}, .rank = 1, .energy = 9}).rank, 1);
  EXPECT_EQ(spike_of(values_of(normal({400, 500}, 4))).rank, 6);  // 1.5% of 400
}

TEST(Spike, WhereItEndsShowsInTheSpectrum) {
  EXPECT_EQ(largest_gap(values_of(with_values(spike_and_tail(200, 7), 200, 200))), 7);
  EXPECT_EQ(largest_gap(values_of(with_values(spike_and_tail(40, 1), 40, 60))), 1);
  EXPECT_EQ(largest_gap(values_of(normal({10, 10}, 5))), 0);
  EXPECT_EQ(largest_gap(values_of(at::zeros({100, 100}, at::kDouble))), 0);
}

TEST(Spike, MatricesAtTheEdgeAreDefined) {
  const auto zero = values_of(at::zeros({30, 20}));
  EXPECT_EQ(zero.energy, 0);
  EXPECT_TRUE(std::isnan(spike_of(zero).energy));
  EXPECT_TRUE(std::isnan(spike_of(zero).gap));
  const auto one = values_of(normal({30, 1}, 6).mm(normal({1, 20}, 7)).to(at::kFloat));
  EXPECT_TRUE(std::isnan(spike_of(one).gap));  // its tail is rounding
  EXPECT_NEAR(spike_of(one).energy, 1, 1e-9);
  EXPECT_EQ(values_of(normal({1, 50}, 8)).values.size(), 1u);
  EXPECT_EQ(spike_of(values_of(normal({1, 50}, 8))).rank, 1);
  EXPECT_TRUE(std::isfinite(spike_of(values_of(1e30 * normal({20, 20}, 9).to(at::kFloat))).energy));
  auto bad = normal({20, 20}, 10);
  bad[3][4] = std::nan("");
  const SpectrumInput several[] = {{"good", normal({4, 4}, 11)}, {"the gradient of w", bad}};
  try {
    singular_values(several);
    ADD_FAILURE() << "not refused";
  } catch (const WorkError& error) {
    EXPECT_NE(std::string(error.what()).find("the gradient of w"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace isotrope

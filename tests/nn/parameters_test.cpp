#include "isotrope/nn/parameters.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace isotrope {
namespace {

using Kind = Initialization::Kind;

at::Tensor drawn(const std::string& name, Initialization init, std::uint64_t seed = 1, at::ScalarType type = at::kFloat) {
  Parameters parameters{at::TensorOptions(type)};
  parameters.add("other", {7}, ParameterClass::vector, {});
  const auto value = parameters.add(name, {20000}, ParameterClass::vector, init);
  initialize_(parameters, seed);
  return value.detach();
}

TEST(Initialization, OfTheDecaysIsTheLogarithmOfAUniformNumber) {
  const auto decays = drawn("A_log", {.kind = Kind::log_uniform, .low = 1, .high = 16}).to(at::kDouble).exp();
  EXPECT_GE(decays.min().item<double>(), 1 - 1e-6);
  EXPECT_LT(decays.max().item<double>(), 16 + 1e-5);
  EXPECT_NEAR(decays.mean().item<double>(), 8.5, 0.1);  // the mean's own deviation: 15 / √(12 · 20,000) = 0.03
  EXPECT_NEAR((decays < 4.75).to(at::kDouble).mean().item<double>(), 0.25, 0.01);
}

TEST(Initialization, OfTheStepsIsTheInverseSoftplusOfALogUniformNumber) {
  const auto bias = drawn("dt_bias", {.kind = Kind::time_step, .low = 1e-3, .high = 0.1, .floor = 2e-3});
  const auto steps = at::softplus(bias.to(at::kDouble));
  EXPECT_NEAR(steps.min().item<double>(), 2e-3, 1e-8);
  EXPECT_LT(steps.max().item<double>(), 0.1 + 1e-6);
  // Of two decades, ln 5 / ln 100 lie above 0.02 and ln 2 / ln 100 at the floor.
  EXPECT_NEAR((steps > 0.02).to(at::kDouble).mean().item<double>(), std::log(5) / std::log(100), 0.015);
  EXPECT_NEAR((steps < 2e-3 + 1e-8).to(at::kDouble).mean().item<double>(), std::log(2) / std::log(100), 0.015);
}

TEST(Initialization, OfATruncatedNormalStaysWithinItsCutoff) {
  const auto x = drawn("w", {.std = 0.5, .cutoff = 2}).to(at::kDouble) / 0.5;
  EXPECT_LE(x.abs().max().item<double>(), 2.0);
  EXPECT_GT(x.abs().max().item<double>(), 1.99);
  EXPECT_NEAR(x.mean().item<double>(), 0, 0.02);
  EXPECT_NEAR(x.std().item<double>(), 0.8796, 0.01);  // √(1 − 2 · 2φ(2) / (2Φ(2) − 1))
  EXPECT_NEAR((x.abs() < 1).to(at::kDouble).mean().item<double>(), 0.6827 / 0.9545, 0.01);
  EXPECT_GT(std::get<0>(at::_unique2(x)).numel(), 19'950) << "no stretch of the stream is used twice";
  EXPECT_LE(drawn("w", {.std = 1, .cutoff = 1e-9}).abs().max().item<double>(), 1e-9);
}

TEST(Initialization, IsAFunctionOfSeedAndNameAlone) {
  const auto before = at::get_num_threads();
  for (const auto& [kind, cutoff] : {std::pair{Kind::normal, 0.0}, {Kind::normal, 2.0}, {Kind::log_uniform, 0.0}, {Kind::time_step, 0.0}}) {
    const Initialization init{.kind = kind, .cutoff = cutoff, .low = 1e-3, .high = 0.1};
    at::set_num_threads(1);
    const auto one = drawn("a", init);
    at::set_num_threads(3);
    EXPECT_TRUE(at::equal(drawn("a", init), one));
    EXPECT_TRUE(at::equal(drawn("a", init, 1, at::kBFloat16), one.to(at::kBFloat16)));
    EXPECT_FALSE(at::equal(drawn("b", init), one));
    EXPECT_FALSE(at::equal(drawn("a", init, 2), one));
  }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace isotrope

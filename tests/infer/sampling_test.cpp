#include "isotrope/infer/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "isotrope/base/error.h"

namespace isotrope {
namespace {

TokenId choose(std::vector<float> logits, const SamplingOptions& options, std::uint64_t draw = 0,
               const std::vector<TokenId>& history = {}) {
  RandomStream random(1, "test", draw);
  return choose_token(logits, history, options, random);
}

std::map<TokenId, int> frequencies(const std::vector<float>& logits, const SamplingOptions& options, int draws = 4000) {
  std::map<TokenId, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[choose(logits, options, i)];
  return counts;
}

TEST(Sampling, ZeroTemperatureTakesTheFirstOfTheLikeliest) { EXPECT_EQ(choose({1, 3, 3, 2}, {.temperature = 0}), 1); }

TEST(Sampling, FrequenciesFollowTheSoftmax) {
  const std::vector<float> logits{0, std::log(2.0f), std::log(5.0f)};
  const auto counts = frequencies(logits, {}, 8000);
  // 8,000 draws: a standard error of 0.0054 at p = 5/8; four of them.
  EXPECT_NEAR(counts.at(2) / 8000.0, 0.625, 0.022);
  EXPECT_NEAR(counts.at(0) / 8000.0, 0.125, 0.015);
  const auto hot = frequencies(logits, {.temperature = 0.5}, 8000);  // squares the odds: 1 : 4 : 25
  EXPECT_NEAR(hot.at(2) / 8000.0, 25.0 / 30, 0.017);
}

TEST(Sampling, FiltersKeepExactlyWhatTheySay) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  EXPECT_EQ(frequencies(logits, {.top_k = 2}).size(), 2u);
  EXPECT_EQ(frequencies(logits, {.top_p = 0.79}).size(), 2u);  // 0.5 alone is less, 0.8 is enough
  EXPECT_EQ(frequencies(logits, {.top_p = 0.81}).size(), 3u);
  EXPECT_EQ(frequencies(logits, {.top_p = 1e-9}).size(), 1u);
  EXPECT_EQ(frequencies(logits, {.min_p = 0.29}).size(), 3u);  // 0.15 / 0.5 = 0.3
  EXPECT_EQ(frequencies(logits, {.min_p = 1.0}).size(), 1u);
  EXPECT_EQ(frequencies(logits, {}).size(), 4u);
}

TEST(Sampling, RepetitionPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  EXPECT_EQ(choose({2.0f, 1.5f}, {.temperature = 0, .repetition_penalty = 1.5}, 0, {0, 0}), 1);  // 2/1.5 < 1.5; counted once
  EXPECT_EQ(choose({-1.0f, -1.2f}, {.temperature = 0, .repetition_penalty = 1.5}, 0, {0}), 1);   // −1.5 < −1.2
  EXPECT_EQ(choose({2.0f, 1.5f}, {.temperature = 0}, 0, {0}), 0);
}

TEST(Sampling, RefusesNumbersThatAreNone) {
  EXPECT_THROW(choose({0, NAN}, {}), WorkError);
  EXPECT_THROW(check({.temperature = -1}), UsageError);
  EXPECT_THROW(check({.top_p = 0}), UsageError);
  EXPECT_THROW(check({.repetition_penalty = 0}), UsageError);
  EXPECT_NO_THROW(check({}));
}

}  // namespace
}  // namespace isotrope

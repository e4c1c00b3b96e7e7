#include "isotrope/data/masking.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace isotrope {
namespace {

constexpr std::int64_t vocabulary = 50, mask = 4;

MaskingOptions options() {
  MaskingOptions o{.mask = mask};
  o.special.assign(vocabulary, false);
  for (int id = 0; id < 5; ++id) o.special[id] = true;
  return o;
}

struct Masked {
  std::vector<std::int64_t> before, after, targets;
};

Masked masked(std::size_t count, const MaskingOptions& o, std::uint64_t step = 0) {
  Masked m;
  RandomStream text(7, "text");
  for (std::size_t i = 0; i < count; ++i) m.before.push_back(static_cast<std::int64_t>(text.below(vocabulary)));
  m.after = m.before, m.targets.resize(count);
  RandomStream random(1, "mask", step);
  mask_tokens(m.after, m.targets, o, random);
  return m;
}

/// Whether `found` of `trials` is within four standard deviations of the share: a mistake of a percent shows in 200,000 trials.
void expect_share(double found, double trials, double share) {
  EXPECT_NEAR(found / trials, share, 4 * std::sqrt(share * (1 - share) / trials));
}

TEST(Masking, ChoosesTheRateAndSplitsItAsAsked) {
  const auto m = masked(200000, options());
  double plain = 0, chosen = 0, hidden = 0, kept = 0;
  for (std::size_t i = 0; i < m.before.size(); ++i) {
    plain += m.before[i] >= 5;
    if (m.targets[i] == -100) {
      EXPECT_EQ(m.after[i], m.before[i]);
      continue;
    }
    EXPECT_EQ(m.targets[i], m.before[i]);
    EXPECT_GE(m.before[i], 5);  // never a special one
    EXPECT_TRUE(m.after[i] == mask || m.after[i] >= 5);
    ++chosen, hidden += m.after[i] == mask, kept += m.after[i] == m.before[i];
  }
  expect_share(chosen, plain, 0.15);
  expect_share(hidden, chosen, 0.8);
  expect_share(kept, chosen, 0.1 + 0.1 / 45);  // a random token may be the same one
}

TEST(Masking, IsAnotherOneAtAnotherStepAndTheSameAtTheSame) {
  EXPECT_EQ(masked(1000, options(), 3).targets, masked(1000, options(), 3).targets);
  EXPECT_NE(masked(1000, options(), 3).targets, masked(1000, options(), 4).targets);
}

TEST(Masking, OfWholeWordsChoosesAllTheirTokensOrNone) {
  auto o = options();
  o.starts_word.assign(vocabulary, true);
  for (int id = 30; id < vocabulary; ++id) o.starts_word[id] = false;
  const auto m = masked(200000, o);
  double plain = 0, chosen = 0;
  for (std::size_t i = 0; i < m.before.size(); ++i) {
    plain += m.before[i] >= 5, chosen += m.targets[i] != -100;
    const bool continues = i > 0 && m.before[i] >= 30 && m.before[i - 1] >= 5;
    if (continues) EXPECT_EQ(m.targets[i] != -100, m.targets[i - 1] != -100) << i;
  }
  EXPECT_NEAR(chosen / plain, 0.15, 0.005);
}

TEST(Masking, WithARateOfZeroChangesNothing) {
  auto o = options();
  o.rate = 0;
  const auto m = masked(1000, o);
  EXPECT_EQ(m.after, m.before);
  EXPECT_TRUE(std::ranges::all_of(m.targets, [](auto t) { return t == -100; }));
}

}  // namespace
}  // namespace isotrope

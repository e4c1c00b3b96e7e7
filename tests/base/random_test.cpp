#include "isotrope/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace isotrope {
namespace {

TEST(Random, PhiloxEqualsThePublishedVectors) {  // Random123's known-answer file, philox4x32 with 10 rounds
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, StreamsAreFunctionsOfTheirFourCoordinates) {
  const auto first = [](auto... at) { return RandomStream(at...).next_u64(); };
  std::set<std::uint64_t> values{first(1, "a", 0, 0u), first(2, "a", 0, 0u), first(1, "b", 0, 0u),
                                 first(1, "a", 1, 0u), first(1, "a", 0, 1u), first(1, "a", 1u << 16, 0u)};
  EXPECT_EQ(values.size(), 6u);
  EXPECT_EQ(first(7, "x", 3, 2u), first(7, "x", 3, 2u));
}

TEST(Random, SeekReachesAnyPosition) {
  RandomStream walked(5, "seek"), jumped(5, "seek");
  std::vector<std::uint32_t> words;
  for (int i = 0; i < 23; ++i) words.push_back(walked.next_u32());
  for (const int at : {22, 0, 7, 4, 3}) {
    jumped.seek(at);
    EXPECT_EQ(jumped.next_u32(), words[at]) << at;
  }
}

TEST(Random, MomentsAreThoseOfTheDistributions) {
  // 200,000 draws: the mean's standard error is 0.0022 for the normal, 0.00065 for the uniform; bounds are five of them.
  RandomStream stream(11, "moments");
  double sum = 0, squares = 0, uniform = 0;
  constexpr int n = 200000;
  for (int i = 0; i < n; ++i) {
    const double x = stream.normal();
    sum += x, squares += x * x, uniform += stream.uniform();
  }
  EXPECT_NEAR(sum / n, 0, 0.0112);
  EXPECT_NEAR(squares / n, 1, 0.016);
  EXPECT_NEAR(uniform / n, 0.5, 0.0033);
}

TEST(Random, BelowStaysBelowAndReachesEverything) {
  RandomStream stream(3, "below");
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 500; ++i) seen.insert(stream.below(7));
  EXPECT_EQ(seen.size(), 7u);
  EXPECT_EQ(*seen.rbegin(), 6u);
}

TEST(Random, PermutationIsABijectionForEverySize) {
  for (const std::uint64_t size : {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097}) {
    const RandomPermutation permutation(size, 42, "order", size);
    std::vector<bool> hit(size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const auto to = permutation(i);
      ASSERT_LT(to, size);
      EXPECT_FALSE(hit[to]);
      hit[to] = true;
    }
  }
}

TEST(Random, PermutationsOfTwoEpochsDiffer) {
  const RandomPermutation a(1000, 1, "epoch", 0), b(1000, 1, "epoch", 1);
  int same = 0;
  for (int i = 0; i < 1000; ++i) same += a(i) == b(i);
  EXPECT_LT(same, 10);  // one is expected
}

}  // namespace
}  // namespace isotrope

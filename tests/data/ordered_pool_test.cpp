#include "isotrope/data/ordered_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>

namespace isotrope {
namespace {

TEST(OrderedPool, ResultsComeInTheOrderOfTheJobs) {
  std::vector<int> seen;
  OrderedPool<int, int> pool(
      4,
      [](int job) {
        std::this_thread::sleep_for(std::chrono::microseconds(job * 7919 % 200));
        return job * 2;
      },
      [&](int result) { seen.push_back(result); });
  for (int i = 0; i < 500; ++i) pool.push(i);
  pool.finish();
  ASSERT_EQ(seen.size(), 500u);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(seen[i], 2 * i);
}

TEST(OrderedPool, JobsInFlightAreBounded) {
  std::atomic<int> pushed{0}, consumed{0}, most{0};
  OrderedPool<int, int> pool(
      2, [](int job) { return job; },
      [&](int) {
        most = std::max(most.load(), pushed - consumed);
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        ++consumed;
      });
  for (int i = 0; i < 200; ++i) {
    pool.push(i);
    ++pushed;
  }
  pool.finish();
  EXPECT_LE(most, 9);  // 4 a thread, and the one just pushed
}

TEST(OrderedPool, TheFirstFailureInJobOrderComesOut) {
  for (int round = 0; round < 20; ++round) {
    std::vector<int> seen;
    OrderedPool<int, int> pool(
        3,
        [](int job) {
          if (job == 5) std::this_thread::sleep_for(std::chrono::milliseconds(2));
          if (job == 5 || job == 6) throw std::runtime_error(std::to_string(job));
          return job;
        },
        [&](int result) { seen.push_back(result); });
    try {
      for (int i = 0; i < 100; ++i) pool.push(i);
      pool.finish();
      FAIL() << "no exception came out";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "5");
    }
    EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3, 4}));
  }
}

}  // namespace
}  // namespace isotrope

#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <chrono>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "isotrope/kernels/activations.h"

namespace isotrope {
namespace {

TEST(Threads, ExactlyOneOpenMpRuntimeIsInTheProcess) {
  at::parallel_for(0, 1 << 20, 1, [](std::int64_t, std::int64_t) {});  // whatever is loaded late is loaded now
  std::set<std::string> runtimes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    for (const auto* name : {"libgomp", "libiomp5", "libomp"})
      if (line.find(name) != std::string::npos) runtimes.insert(line.substr(line.find('/')));
  EXPECT_EQ(runtimes.size(), 1u) << (runtimes.empty() ? "none" : *runtimes.begin() + " … " + *runtimes.rbegin());
}

TEST(Threads, OurParallelCodeRunsOnEveryThread) {
  const auto before = at::get_num_threads();
  at::set_num_threads(2);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  at::parallel_for(0, 2, 1, [&](std::int64_t, std::int64_t) {
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  at::set_num_threads(before);
  EXPECT_EQ(seen.size(), 2u);  // one when this code is built without -fopenmp
}

TEST(Threads, TheSameBitsForAnyNumberOfThreads) {
  const auto before = at::get_num_threads();
  const auto gate = at::randn({300, 700}), up = at::randn({300, 700});
  at::set_num_threads(1);
  const auto one = swiglu(gate, up);
  at::set_num_threads(2);
  EXPECT_TRUE(at::equal(swiglu(gate, up), one));
  at::set_num_threads(before);
}

}  // namespace
}  // namespace isotrope

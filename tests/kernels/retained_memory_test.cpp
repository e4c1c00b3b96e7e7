#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include "isotrope/kernels/retained_memory.h"

namespace isotrope {
namespace {

std::int64_t page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

TEST(RetainedMemory, TheSameSizesAgainTouchNoNewPages) {
  retain_tensor_memory();
  ::mallopt(M_MMAP_THRESHOLD, 1 << 16);  // so that a large block of the system's own allocator is new pages every time
  const auto work = [] {
    for (int i = 0; i < 20; ++i) {
      auto small = at::ones({300, 300}), large = at::ones({2000, 1000});
      ASSERT_GT(retained_memory().in_use, std::size_t{8'000'000});
      auto product = at::mm(small, small) + large.narrow(0, 0, 300).narrow(1, 0, 300);
      ASSERT_EQ(product[0][0].item<float>(), 301.0f);
    }
  };
  work();
  const auto before = page_faults();
  const auto kept = retained_memory();
  work();
  EXPECT_LT(page_faults() - before, 20);  // 20 × 8 MB of new pages would be 40,000 faults, or 80 of huge pages
  EXPECT_EQ(retained_memory().kept, kept.kept);
  EXPECT_EQ(retained_memory().in_use, kept.in_use);
}

TEST(RetainedMemory, BlocksOfEverySizeAreWholeAndAligned) {
  retain_tensor_memory();
  for (std::int64_t n = 1; n < (1 << 22); n = n * 5 / 4 + 1) {
    const auto before = retained_memory().in_use;
    auto x = at::full({n}, 3, at::kByte), y = at::full({n}, 5, at::kByte);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.data_ptr()) % 64, 0u);
    EXPECT_EQ(x.sum().item<std::int64_t>(), 3 * n) << n;
    EXPECT_GE(retained_memory().in_use - before, static_cast<std::size_t>(2 * n));
    EXPECT_LE(retained_memory().in_use - before, static_cast<std::size_t>(2 * n) * 5 / 4 + 256) << n;
  }
}

TEST(RetainedMemory, MoreThanThereIsIsRefusedAndNotCounted) {
  retain_tensor_memory();
  const auto before = retained_memory().in_use;
  EXPECT_THROW(at::empty({std::int64_t{1} << 52}), std::exception);
  EXPECT_EQ(retained_memory().in_use, before);
}

TEST(RetainedMemory, IsGivenBackWhenAsked) {
  retain_tensor_memory();
  at::ones({1 << 20});
  EXPECT_GT(retained_memory().kept, 0u);
  release_retained_memory();
  EXPECT_EQ(retained_memory().kept, 0u);
}

}  // namespace
}  // namespace isotrope

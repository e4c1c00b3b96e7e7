#include "isotrope/nn/kv_cache.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "isotrope/base/error.h"

namespace isotrope {
namespace {

TEST(KvCache, ReturnsAllKeysAndValuesAndForgetsFromATokenOn) {
  KvCache cache(6);
  const auto first = at::randn({1, 2, 4, 3}), second = at::randn({1, 2, 2, 3});
  cache.append(0, first, first);
  cache.advance(4);
  EXPECT_TRUE(at::equal(cache.append(0, second, second).first, at::cat({first, second}, 2)));
  cache.advance(2);
  EXPECT_THROW(cache.append(0, second, second), WorkError);
  cache.truncate(3);
  EXPECT_EQ(cache.length(), 3);
  EXPECT_TRUE(at::equal(cache.append(0, second, second).second, at::cat({first.narrow(2, 0, 3), second}, 2)));
}

TEST(KvCache, ARecurrentStateIsKeptWholeOrForgotten) {
  KvCache cache(6);
  cache.recurrent(1, 4).state = at::ones({1, 2, 3, 4});
  cache.advance(4);
  EXPECT_FALSE(cache.recurrent(0, 1).state.defined());
  EXPECT_THROW(cache.recurrent(1, 3), WorkError);  // the capacity holds here too
  cache.truncate(4);
  cache.truncate(9);
  EXPECT_TRUE(cache.recurrent(1, 1).state.defined());
  EXPECT_THROW(cache.truncate(3), WorkError);
  EXPECT_EQ(cache.length(), 4);
  cache.truncate(0);
  EXPECT_EQ(cache.length(), 0);
  EXPECT_FALSE(cache.recurrent(1, 1).state.defined());
}

}  // namespace
}  // namespace isotrope

#include "isotrope/base/error.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace isotrope {
namespace {

TEST(Error, PrintsComponentAndMessage) {
  const InputError error("safetensors", "{}: tensor {} ends at byte {}, the file has {}", "m.safetensors", "lm_head.weight", 812, 640);
  EXPECT_STREQ(error.what(), "[safetensors] m.safetensors: tensor lm_head.weight ends at byte 812, the file has 640");
  EXPECT_EQ(error.code(), ExitCode::bad_input);
}

TEST(Error, ShapesReadAsLists) {
  const std::array<std::int64_t, 3> shape{2, 3, 4};
  EXPECT_EQ(shape_text(shape), "[2, 3, 4]");
  EXPECT_EQ(shape_text({}), "[]");
  const std::array<std::int64_t, 2> other{2, 3};
  EXPECT_THROW(expect_shape("model", "wte", shape, other), InputError);
  EXPECT_NO_THROW(expect_shape("model", "wte", shape, shape));
}

TEST(Error, NearestFindsATypoAndNotAStranger) {
  const std::vector<std::string> keys{"optimizer.lr", "optimizer.beta1", "train.steps"};
  EXPECT_EQ(nearest("optimiser.lr", keys), "optimizer.lr");
  EXPECT_EQ(nearest("train.step", keys), "train.steps");
  EXPECT_EQ(nearest("zzz", keys), "");
}

}  // namespace
}  // namespace isotrope

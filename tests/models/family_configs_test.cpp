// configs/families has a model of every family that is worth training.
#include <gtest/gtest.h>

#include <set>

#include "isotrope/io/json.h"
#include "isotrope/models/registry.h"
#include "isotrope/train/objective.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

TEST(FamilyConfigs, ThereIsAModelOfAMillionParametersForEveryFamily) {
  const at::NoGradGuard no_grad;
  std::set<std::string> types;
  for (const auto& entry : fs::directory_iterator(test::source("../configs/families"))) {
    if (entry.path().extension() != ".json") continue;
    const auto config = read_json(entry.path(), "test");
    types.insert(config["model_type"].get<std::string>());
    testing::internal::CaptureStderr();
    const auto model = make_model(config, {}, entry.path().string());
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "every field acts";
    EXPECT_GE(model->parameters().count(), 1'000'000) << entry.path();
    EXPECT_LT(model->parameters().count(), 10'000'000) << entry.path();
    for (const auto& [key, rate] : model->dropout_rates()) EXPECT_EQ(rate, 0) << entry.path() << ' ' << key;
    for (auto& p : model->parameters().all()) p.value.fill_(0.01);
    if (model->reads_characters()) model->set_token_texts({});
    const auto ids = at::arange(18, at::kLong).view({2, 9});
    EXPECT_TRUE(at::isfinite(model->logits(model->forward_ids(ids))).all().item<bool>()) << entry.path();
  }
  EXPECT_EQ(std::vector<std::string>(types.begin(), types.end()), known_model_types());
}

}  // namespace
}  // namespace isotrope

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/models/model.h"

namespace isotrope {
namespace {

nlohmann::json small_config() {
  return nlohmann::json::parse(R"({"model_type": "mamba2", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1, "num_heads": 4,
                                   "head_dim": 4, "n_groups": 2, "state_size": 3, "time_step_limit": [0.0, {"__float__": "Infinity"}]})");
}

TEST(Mamba2, RefusesWhatContradictsItself) {
  const auto with = [](const char* key, nlohmann::json value) {
    auto config = small_config();
    config[key] = std::move(value);
    return make_model(config, {}, "config.json");
  };
  EXPECT_NO_THROW(with("use_bias", true));
  EXPECT_THROW(with("expand", 3), InputError);
  EXPECT_THROW(with("n_groups", 3), InputError);
  EXPECT_THROW(with("hidden_act", "gelu"), InputError);
  EXPECT_THROW(with("rms_norm", false), InputError);
  EXPECT_THROW(with("time_step_min", 0), InputError);
  EXPECT_THROW(with("time_step_limit", {-1, 2}), InputError);
  EXPECT_THROW(with("time_step_limit", {1}), InputError);
  EXPECT_THROW(with("time_step_limit", 1), InputError);
}

TEST(Mamba2, StartsStepsWhereTheConfigSaysAndScalesByDepthIfAsked) {
  auto config = small_config();
  config["time_step_min"] = 0.2, config["time_step_max"] = 0.3;
  const auto drawn = [&](const char* name) {
    auto model = make_model(config, {}, "config.json");
    initialize_(model->parameters(), 1);
    return model->parameters().find(name)->value.detach().clone();
  };
  const auto steps = at::softplus(drawn("backbone.layers.0.mixer.dt_bias"));
  EXPECT_TRUE(at::all((steps > 0.199).logical_and(steps < 0.301)).item<bool>());
  const auto plain = drawn("backbone.layers.0.mixer.out_proj.weight");
  config["rescale_prenorm_residual"] = true, config["num_hidden_layers"] = 4;
  EXPECT_TRUE(at::allclose(drawn("backbone.layers.0.mixer.out_proj.weight"), plain / 2));
}

TEST(Mamba2, SaysNothingOfScalingOnceItHasBegun) {
  auto config = small_config();
  config["rescale_prenorm_residual"] = true;
  EXPECT_EQ(make_model(config, {}, "config.json")->config()["rescale_prenorm_residual"], false)
      << "transformers would scale the loaded weights";
}

TEST(Mamba2, HasNoLimitOfPositions) {
  auto model = make_model(small_config(), {}, "config.json");
  initialize_(model->parameters(), 1);
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(model->logits(model->forward_ids(at::zeros({1, 3000}, at::kLong))).isfinite().all().item<bool>());
  EXPECT_EQ(model->shape().max_positions, unlimited_positions);
}

}  // namespace
}  // namespace isotrope

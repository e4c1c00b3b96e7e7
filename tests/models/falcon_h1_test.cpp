// Falcon-H1 with weights from a formula, against numbers that an independent float64 computation printed.
#include <gtest/gtest.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/models/model.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

nlohmann::json golden_config(bool norm) {
  auto config = nlohmann::json::parse(R"({
    "model_type": "falcon_h1", "vocab_size": 11, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "rope_theta": 1e11, "rms_norm_eps": 1e-5, "mamba_d_ssm": 24, "mamba_n_heads": 6, "mamba_d_head": 4,
    "mamba_n_groups": 2, "mamba_d_state": 4, "mamba_d_conv": 4, "mamba_chunk_size": 4, "mamba_conv_bias": true, "mamba_norm_before_gate": false,
    "embedding_multiplier": 5, "lm_head_multiplier": 0.25, "key_multiplier": 0.5, "attention_in_multiplier": 1.5,
    "attention_out_multiplier": 0.75, "ssm_in_multiplier": 1.25, "ssm_out_multiplier": 0.5, "mlp_multipliers": [0.875, 0.625],
    "ssm_multipliers": [0.5, 0.75, 1.25, 1.5, 0.875], "tie_word_embeddings": false})");
  config["mamba_rms_norm"] = norm;
  return config;
}

/// Number i of tensor k.
double weight(const std::string& name, std::int64_t k, std::int64_t i) {
  const auto a = static_cast<double>(i), b = static_cast<double>(k);
  const double s = std::sin(0.7 * (a + 1) + 1.3 * (b + 1) + 0.11 * static_cast<double>((i % 7) * (i % 5)));
  const auto is = [&](const char* suffix) { return name.ends_with(suffix); };
  if (is("layernorm.weight") || is("mamba.norm.weight")) return 1 + 0.25 * s;
  if (is("A_log")) return std::log(a + 1) + 0.1 * s;
  if (is("dt_bias")) return -1 + 0.5 * s;
  if (is(".D")) return 1 + 0.2 * s;
  if (is("conv1d.weight")) return 0.5 * s;
  if (is("conv1d.bias")) return 0.1 * s;
  return 0.3 * s;
}

/// `type` at::kDouble: through the composed references.
std::unique_ptr<Model> golden_model(bool norm, at::ScalarType type) {
  auto model = make_model(golden_config(norm), {.dtype = type}, "golden");
  const at::NoGradGuard no_grad;
  std::int64_t k = 0;
  for (auto& parameter : model->parameters().all()) {
    auto values = at::empty({parameter.value.numel()}, at::kDouble);
    for (std::int64_t i = 0; i < values.numel(); ++i) values[i] = weight(parameter.name, k, i);
    parameter.value.copy_(values.view(parameter.value.sizes()));
    ++k;
  }
  EXPECT_EQ(k, norm ? 37 : 35);
  return model;
}

double mean_nll(const at::Tensor& logits, const at::Tensor& ids) {
  return at::nll_loss(at::log_softmax(logits.narrow(0, 0, 8), 1), ids.narrow(0, 1, 8)).item<double>();
}

TEST(FalconH1, TheGoldenTestHasItsDigits) {
  const auto ids = at::tensor({1, 5, 3, 7, 2, 10, 4, 0, 6}, at::kLong);
  const std::map<int, std::vector<double>> plain{
      {0, {.4573610, .5202785, -.2353185, -.2522731, -.0508124, .2999439, .3169443, -.4995141, -.4842493, -.1514998, .4520336}},
      {4, {-.3164758, -.2588079, .5675978, .2830174, -.1795039, -.2138861, .0192132, .4920502, .2596445, -.1567037, .0503260}},
      {8, {.0710620, .3116722, .1895702, -.0193952, -.2696138, .1246364, .5635990, .0129764, -.2828582, -.3765740, .4945929}}};
  const std::map<int, std::vector<double>> normed{
      {8, {-.3227745, -.4565945, .1461105, .3011915, -.1855756, -.6122690, -.4531997, .4340349, .1635297, -.1414523, -.5051407}}};
  const at::NoGradGuard no_grad;
  for (const auto type : {at::kDouble, at::kFloat})
    for (const bool norm : {false, true}) {
      auto model = golden_model(norm, type);
      const auto embedding = model->parameters().all()[0].value[0], in_proj = model->parameters().all()[2].value[0];
      EXPECT_NEAR(embedding[2].item<double>(), -.192899, 1e-6);
      EXPECT_NEAR(in_proj[0].item<double>(), -.298107, 1e-6);
      const auto logits = model->logits(model->forward_ids(ids.unsqueeze(0)))[0].to(at::kDouble);
      for (const auto& [t, digits] : norm ? normed : plain)
        for (std::size_t v = 0; v < digits.size(); ++v)
          EXPECT_NEAR(logits[t][static_cast<std::int64_t>(v)].item<double>(), digits[v], 1e-6)
              << type << ' ' << norm << " t " << t << " v " << v;
      EXPECT_NEAR(mean_nll(logits, ids), norm ? 2.4782512 : 2.4104441, 1e-6);
      if (!norm) {
        EXPECT_NEAR(logits.square().sum().item<double>(), 11.2567765, 1e-5);  // of 99 numbers up to 0.6
      }
    }
}

TEST(FalconH1, ReadsSizesThatTheConfigLeavesOpen) {
  auto config = golden_config(false);
  config["mamba_d_ssm"] = nullptr, config["mamba_expand"] = 3, config["mamba_d_head"] = "auto", config["num_key_value_heads"] = nullptr;
  config.erase("head_dim");
  auto model = make_model(config, {}, "open");
  EXPECT_EQ(model->parameters().find("model.layers.0.mamba.out_proj.weight")->value.sizes(), at::IntArrayRef({16, 48}));
  EXPECT_EQ(model->parameters().find("model.layers.1.self_attn.k_proj.weight")->value.sizes(), at::IntArrayRef({16, 16}));
}

TEST(FalconH1, RefusesWhatContradictsItself) {
  const auto with = [](const char* key, nlohmann::json value) {
    auto config = golden_config(false);
    config[key] = std::move(value);
    return make_model(config, {}, "config.json");
  };
  EXPECT_THROW(with("mamba_d_head", 5), InputError);
  EXPECT_THROW(with("mamba_n_groups", 4), InputError);
  EXPECT_THROW(with("mamba_d_ssm", 25), InputError);
  EXPECT_THROW(with("num_key_value_heads", 3), InputError);
  EXPECT_THROW(with("head_dim", 7), InputError);
  EXPECT_THROW(with("hidden_act", "gelu"), InputError);
  EXPECT_THROW(with("mamba_use_mlp", false), InputError);
  EXPECT_THROW(with("attn_layer_indices", {0}), InputError);
  EXPECT_THROW(with("ssm_multipliers", {1, 1, 1, 1}), InputError);
  EXPECT_THROW(with("mlp_multipliers", {1, "2"}), InputError);
  EXPECT_THROW(with("time_step_limit", {0.5, 0.1}), InputError);
  EXPECT_THROW(with("time_step_limit", {0.0, nlohmann::json{{"__float__", "NaN"}}}), InputError);
}

TEST(FalconH1, StartsWithTheStepsAndDecaysOfMamba) {
  auto model = make_model(golden_config(true), {}, "golden");
  initialize_(model->parameters(), 3);
  for (const auto& parameter : model->parameters().all()) {
    if (parameter.name.find("mamba") == std::string::npos) continue;
    const bool matrix = parameter.name.ends_with("proj.weight");
    EXPECT_EQ(parameter.kind, matrix ? ParameterClass::matrix : ParameterClass::vector) << parameter.name;
    const auto value = parameter.value.detach();
    if (parameter.name.ends_with("A_log")) EXPECT_TRUE(at::all((value >= 0).logical_and(value <= std::log(16.0f))).item<bool>());
    if (parameter.name.ends_with("dt_bias")) {
      const auto steps = at::softplus(value);
      EXPECT_TRUE(at::all((steps > 0.99e-3).logical_and(steps < 0.101)).item<bool>());
    }
    if (parameter.name.ends_with(".D")) EXPECT_TRUE(at::equal(value, at::ones_like(value)));
  }
}

}  // namespace
}  // namespace isotrope

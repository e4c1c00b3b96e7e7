// Which rule serves which parameters, and where they lie.
#include "isotrope/optim/optimizer.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/models/model.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using enum ParameterClass;

const at::TensorOptions fp32 = at::kFloat;

OptimizerConfig muon() {
  OptimizerConfig config;
  config.name = "muon";
  return config;
}

/// A parameter of every kind that rules tell apart.
Parameters some_parameters() {
  Parameters parameters(fp32);
  parameters.add("embed.weight", {30, 8}, embedding, {});
  parameters.add("layers.0.norm.weight", {8}, ParameterClass::vector, {Initialization::Kind::ones});
  parameters.add("layers.0.qkv.weight", {24, 8}, matrix, {}, {.parts = {8, 8, 8}});
  parameters.add("layers.0.filters.weight", {5, 12}, matrix, {}, {.convolution = true});
  parameters.add("layers.1.up.weight", {8, 16}, matrix, {}, {.transposed = true});
  parameters.add("head.weight", {30, 8}, head, {});
  initialize_(parameters, 1);
  return parameters;
}

std::vector<std::string> served_by(const Optimizer& optimizer, const std::string& rule) {
  std::vector<std::string> names;
  for (const auto& share : optimizer.shares())
    if (share.rule == rule) names.insert(names.end(), share.parameters.begin(), share.parameters.end());
  return names;
}

TEST(Optimizer, MatricesAreTheNamedRulesAndAllElseIsAdamWs) {
  auto parameters = some_parameters();
  auto optimizer = make_optimizer(parameters, at::kFloat, muon());
  EXPECT_EQ(served_by(*optimizer, "muon"), (std::vector<std::string>{"layers.0.qkv.weight", "layers.1.up.weight"}));
  EXPECT_EQ(served_by(*optimizer, "adamw"),
            (std::vector<std::string>{"embed.weight", "layers.0.filters.weight", "head.weight", "layers.0.norm.weight"}));
  // One buffer for a matrix of muon's, two for each of the others.
  EXPECT_EQ(optimizer->state_bytes(), 4 * ((24 * 8 + 8 * 16) + 2 * (30 * 8 + 5 * 12 + 30 * 8 + 8)));
  for (const auto& share : optimizer->shares())
    EXPECT_EQ(share.weight_decay, share.parameters.front() == "layers.0.norm.weight" ? 0 : 0.1) << share.rule;
}

TEST(Optimizer, PatternsKeepMatricesForAdamWAndMustMatchSomething) {
  auto parameters = some_parameters();
  auto config = muon();
  config.adamw_matrices = {"*.up.weight"};
  EXPECT_EQ(served_by(*make_optimizer(parameters, at::kFloat, config), "muon"), std::vector<std::string>{"layers.0.qkv.weight"});
  for (const auto* pattern : {"*.down.weight", "*embed*"}) {  // no parameter, and one that is no matrix
    config.adamw_matrices = {pattern};
    EXPECT_THROW(make_optimizer(parameters, at::kFloat, config), UsageError) << pattern;
  }
}

TEST(Optimizer, FactorsOfAnAssignmentActAndWhatIsOutsideTheNormIsNotClipped) {
  Parameters parameters(fp32);
  parameters.add("a", {4, 4}, matrix, {Initialization::Kind::ones});
  parameters.add("b", {4, 4}, multiplier, {Initialization::Kind::ones});
  initialize_(parameters, 1);
  OptimizerConfig config;
  Optimizer optimizer(
      parameters, at::kFloat, config,
      {{.classes = {matrix}, .rule = "adamw", .lr_factor = 0.5, .weight_decay = 0.1}, {.rule = "adamw", .in_clip_norm = false}});
  Gradients gradients(optimizer.parameters());
  gradients.begin(), gradients.collect();
  for (const auto& segment : optimizer.parameters().segments()) gradients.of(segment).fill_(segment.name == "a" ? 3 : 1e6);
  EXPECT_EQ(optimizer.gradient_norm(gradients.squared_norms()), 12);
  optimizer.step_(gradients, 0.1, 0.25);
  // AdamW's first step is lr, whatever the gradient: a moves by 0.05 beside its decay of 0.05 · 0.1, b by 0.1.
  EXPECT_NEAR(parameters.find("a")->value[0][0].item<double>(), 1 - 0.05 * 0.1 - 0.05, 1e-6);
  EXPECT_NEAR(parameters.find("b")->value[0][0].item<double>(), 1 - 0.1, 1e-6);
  for (const auto& [name, value] : optimizer.state())
    if (name.starts_with("exp_avg.")) EXPECT_NEAR(value[0][0].item<double>(), name == "exp_avg.a" ? 0.1 * 3 * 0.25 : 0.1 * 1e6, 1e-1);
}

TEST(Optimizer, WhatDoesNotTrainHasNoGradientNoStateAndKeepsItsBits) {
  auto parameters = some_parameters();
  parameters.all()[0].trains = false;
  const auto before = parameters.all()[0].value.detach().clone();
  auto optimizer = make_optimizer(parameters, at::kFloat, muon());
  Gradients gradients(optimizer->parameters());
  EXPECT_LT(gradients.flat().numel(), optimizer->parameters().master().numel() - 30 * 8);
  gradients.begin();
  gradients.collect();
  at::Tensor flat = gradients.flat();
  flat.fill_(1);
  optimizer->step_(gradients, 0.1, 1);
  EXPECT_TRUE(at::equal(parameters.all()[0].value.detach(), before));
  EXPECT_FALSE(parameters.all()[0].value.requires_grad());
  for (const auto& [name, value] : optimizer->state()) EXPECT_EQ(name.find("embed"), std::string::npos) << name;
}

TEST(Optimizer, TheOrderInTheBuffersDecidesNeitherNormNorUpdate) {
  // The same parameters in one group and in three: sums are made a parameter at a time, in the model's order.
  auto together = some_parameters(), apart = some_parameters();
  Optimizer one(together, at::kFloat, {}, {{.rule = "adamw", .weight_decay = 0.1}});
  Optimizer three(apart, at::kFloat, {},
                  {{.classes = {head}, .rule = "adamw", .weight_decay = 0.1},
                   {.classes = {ParameterClass::vector}, .rule = "adamw", .weight_decay = 0.1},
                   {.rule = "adamw", .weight_decay = 0.1}});
  double norms[2];
  int which = 0;
  for (auto* optimizer : {&one, &three}) {
    Gradients gradients(optimizer->parameters());
    gradients.begin(), gradients.collect();
    for (const auto& segment : optimizer->parameters().segments())
      gradients.of(segment).copy_(at::arange(segment.count, fp32).sin().view(segment.shape));
    norms[which++] = optimizer->gradient_norm(gradients.squared_norms());
    for (int step = 0; step < 3; ++step) optimizer->step_(gradients, 1e-2, 0.5);
  }
  EXPECT_EQ(norms[0], norms[1]);
  EXPECT_NE(one.parameters().segment("head.weight").offset, three.parameters().segment("head.weight").offset);
  for (std::size_t i = 0; i < together.all().size(); ++i)
    EXPECT_TRUE(at::equal(together.all()[i].value, apart.all()[i].value)) << together.all()[i].name;
}

TEST(Gradients, AProbesBackwardPassLeavesThoseOfTheStep) {
  Parameters parameters(fp32);
  const auto a = parameters.add("a", {3, 5}, matrix, {}), b = parameters.add("b", {7}, ParameterClass::vector, {});
  initialize_(parameters, 3);
  const FlatParameters flat(parameters, at::kFloat);
  Gradients step(flat);
  const auto backward = [&](Gradients& gradients, double factor) {
    gradients.begin();
    (factor * (a.sum() + b.sum())).backward();
    gradients.collect();
  };
  backward(step, 1);
  const auto before = step.flat().clone();
  {
    Gradients own(flat);
    backward(own, 5);
    EXPECT_EQ(own.of(flat.segment("a")).sum().item<double>(), 75);
    EXPECT_EQ(own.of(flat.segment("b")).sum().item<double>(), 35);
  }
  EXPECT_TRUE(at::equal(step.flat(), before));
  backward(step, 2);
  EXPECT_TRUE(at::equal(step.flat(), 2 * before));
}

TEST(Optimizer, KnowsTheMatricesOfEveryFamily) {
  // architecture, and its weights that hold several matrices: name, out axis, how many
  struct Fused {
    std::string config, name;
    std::size_t parts;
  };
  const std::vector<Fused> fused{
      {"gpt2", "transformer.h.0.attn.c_attn.weight", 3},
      {"gpt_neox", "gpt_neox.layers.0.attention.query_key_value.weight", 3},
      {"bloom", "transformer.h.0.self_attention.query_key_value.weight", 3},
      {"modernbert", "model.layers.0.attn.Wqkv.weight", 3},
      {"modernbert", "model.layers.0.mlp.Wi.weight", 2},
      {"falcon_h1", "model.layers.0.mamba.in_proj.weight", 5},
      {"mamba2", "backbone.layers.0.mixer.in_proj.weight", 5},
      {"elmo", "forward.0.weight_ih", 4},
  };
  for (const auto& [config, name, parts] : fused) {
    const auto file = test::source("../configs/families/" + config + ".json");
    const auto model = make_model(nlohmann::json::parse(read_file(file, "test")), {}, file.string());
    const auto* parameter = model->parameters().find(name);
    ASSERT_TRUE(parameter) << config << ' ' << name;
    const auto views = matrix_views(parameter->value, parameter->form);
    EXPECT_EQ(views.size(), parts) << config;
    std::int64_t numbers = 0;
    for (const auto& view : views) numbers += view.numel();
    EXPECT_EQ(numbers, parameter->value.numel()) << config;
  }
  for (const auto& entry : fs::directory_iterator(test::source("../configs/families"))) {
    if (entry.path().extension() != ".json") continue;
    const auto model = make_model(nlohmann::json::parse(read_file(entry.path(), "test")), {}, entry.path().string());
    const auto optimizer = make_optimizer(model->parameters(), at::kFloat, muon());
    EXPECT_FALSE(served_by(*optimizer, "muon").empty()) << entry.path();
    for (const auto& served : served_by(*optimizer, "muon")) {
      EXPECT_EQ(served.find("conv"), std::string::npos) << served;
      EXPECT_EQ(served.find("filters"), std::string::npos) << served;
    }
  }
}

}  // namespace
}  // namespace isotrope

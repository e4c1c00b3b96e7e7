// tests/data/dumps holds what transformers computes of each tiny model of tests/data (tools/oracles/dump_goldens.py): two rows, padded on
// the left or on the right, with segments where the model has them.
#include "isotrope/infer/parity.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <map>

#include "isotrope/base/error.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Case {
  explicit Case(const std::string& name, const std::string& folder = "models")
      : model(load_model(test::source("data/" + folder + "/" + name))), dump(test::source("data/dumps/" + name + ".safetensors")) {}
  ParityReport compare() { return compare_with_dump(*model, dump); }
  at::Tensor weight(const std::string& name) { return model->parameters().find(name)->value; }

  std::unique_ptr<Model> model;
  ActivationDump dump;
};

/// The name of the first tap that departs by more than 1e-4, or "".
std::string departure(const ParityReport& report) {
  const auto at = report.first_departure(1e-4);
  return at ? report.taps[*at].tap : "";
}

at::Tensor all_places(const at::Tensor& x) { return at::arange(x.size(0) * x.size(1), at::kLong); }

TEST(Parity, DifferencesAreThoseOfTheirDefinition) {
  const auto theirs = at::tensor({1.0F, -4.0F, 2.0F, 0.0F}).view({1, 2, 2}), ours = at::tensor({1.0F, -4.0F, 2.5F, -1.0F}).view({1, 2, 2});
  const auto found = tap_difference("embed", ours, theirs, all_places(ours));
  EXPECT_EQ(found.tap, "embed");
  EXPECT_EQ(found.max_abs, 1.0);
  EXPECT_EQ(found.relative, 0.25);
  EXPECT_DOUBLE_EQ(found.rms, std::sqrt((0.25 + 1) / 4));
  const auto first = tap_difference("embed", ours, theirs, at::zeros({1}, at::kLong));
  EXPECT_EQ(first.max_abs, 0.0);
  EXPECT_EQ(tap_difference("embed", ours, at::zeros_like(theirs), all_places(ours)).relative, infinity);
  EXPECT_EQ(tap_difference("embed", at::zeros_like(ours), at::zeros_like(theirs), all_places(ours)).relative, 0.0);
}

TEST(Parity, BlocksOfPlacesAddUpToTheWhole) {
  // More numbers than are compared at once.
  const auto theirs = at::randn({3, 50, 9000}), ours = theirs + 1e-3 * at::randn({3, 50, 9000});
  const auto found = tap_difference("logits", ours, theirs, all_places(ours));
  const auto delta = (ours.to(at::kDouble) - theirs.to(at::kDouble)).abs();
  EXPECT_EQ(found.max_abs, delta.max().item<double>());
  EXPECT_NEAR(found.rms, std::sqrt(delta.square().mean().item<double>()), 1e-12);
  EXPECT_NEAR(found.relative, found.max_abs / theirs.abs().max().item<double>(), 1e-12);
}

TEST(Parity, OursNotANumberIsADepartureTheirsAnError) {
  const auto theirs = at::ones({1, 3, 2});
  for (const double wrong : {std::nan(""), infinity}) {
    auto ours = at::ones({1, 3, 2});
    ours[0][1][1] = wrong;
    const ParityReport report{.taps = {tap_difference("embed", ours, theirs, all_places(ours))}};
    EXPECT_EQ(report.first_departure(1e30), 0u) << wrong;
    EXPECT_THROW(tap_difference("embed", theirs, ours, all_places(ours)), InputError);
    // In the padding it is nobody's concern.
    const auto places = at::tensor({0, 2}, at::kLong);
    EXPECT_EQ(tap_difference("embed", ours, theirs, places).max_abs, 0.0);
    EXPECT_EQ(tap_difference("embed", theirs, ours, places).max_abs, 0.0);
  }
}

TEST(Parity, EveryTapOfEveryModelAgreesWithTransformers) {
  std::map<std::string, int> shapes;
  for (const std::string kind : {"models", "encoders"})
    for (const auto& folder : fs::directory_iterator(test::source("data/" + kind))) {
      if (!fs::exists(folder.path() / "expected.safetensors")) continue;
      const auto name = folder.path().filename().string();
      Case c(name, kind);
      const auto report = c.compare();
      ++shapes[c.dump.model_type()];
      EXPECT_EQ(report.tokens, 10) << name;
      EXPECT_EQ(report.taps.front().tap, "embed") << name;
      for (const auto& tap : report.taps) EXPECT_LT(tap.relative, 1e-5) << name << ' ' << tap.tap;
    }
  for (const auto& [family, count] : shapes) EXPECT_GE(count, 5) << family;
  EXPECT_EQ(shapes.size(), 14u);
  EXPECT_EQ(Case("llama_gqa2_theta5e5").compare().taps.size(), 11u);
  EXPECT_EQ(Case("falcon_h1_norm_after").compare().taps.size(), 13u);
  EXPECT_EQ(Case("bert_pretraining", "encoders").compare().taps.size(), 11u);
}

TEST(Parity, NamesTheFirstTapBehindAChangedWeight) {
  const at::NoGradGuard no_grad;
  const auto first = [](const std::string& name, const std::string& folder, const std::string& weight) {
    Case c(name, folder);
    c.weight(weight).flatten()[0] += 0.5;
    return departure(c.compare());
  };
  const auto llama = [&](const std::string& weight) { return first("llama_gqa2_theta5e5", "models", weight); };
  EXPECT_EQ(llama("model.layers.0.self_attn.v_proj.weight"), "attn_out.0");
  EXPECT_EQ(llama("model.layers.1.self_attn.o_proj.weight"), "attn_out.1");
  EXPECT_EQ(llama("model.layers.1.mlp.down_proj.weight"), "mlp_out.1");
  EXPECT_EQ(llama("model.norm.weight"), "final_norm");
  EXPECT_EQ(llama("lm_head.weight"), "logits");
  EXPECT_EQ(first("falcon_h1_norm_after", "models", "model.layers.1.mamba.out_proj.weight"), "ssm_out.1");
  EXPECT_EQ(first("bert_pretraining", "encoders", "bert.encoder.layer.0.attention.output.LayerNorm.bias"), "resid_mid.0");
  EXPECT_EQ(first("bert_pretraining", "encoders", "cls.seq_relationship.weight"), "pair_logits");
}

TEST(Parity, FindsANanWhereItArises) {
  const at::NoGradGuard no_grad;
  Case c("llama_gqa2_theta5e5");
  c.weight("model.layers.0.mlp.down_proj.weight")[0][0] = std::nan("");
  const auto report = c.compare();
  EXPECT_EQ(departure(report), "mlp_out.0");
  EXPECT_TRUE(std::isnan(report.taps.back().relative));
}

/// A dump in memory: llama_gqa2's, with targets beside it.
TEST(Parity, LossOfTargetsOnBothSides) {
  Case c("llama_gqa2_theta5e5");
  const SafetensorsFile file(test::source("data/dumps/llama_gqa2_theta5e5.safetensors"));
  const auto rows = c.dump.rows(), length = c.dump.length();
  std::vector<std::int64_t> targets(static_cast<std::size_t>(rows * length), -100);
  std::vector<std::int64_t> places;
  for (std::size_t i = 0; i < targets.size(); i += 2)
    if (c.dump.mask()[i] == 1) targets[i] = static_cast<std::int64_t>(i % 5), places.push_back(static_cast<std::int64_t>(i));
  const auto loss_with = [&](const std::vector<std::int64_t>& chosen) {
    auto tensors = file.tensors();
    tensors.push_back({"targets", DType::i64, {rows, length}, std::as_bytes(std::span(chosen))});
    const test::TestFolder folder;
    write_safetensors(folder / "dump.safetensors", tensors, file.metadata());
    return compare_with_dump(*c.model, ActivationDump(folder / "dump.safetensors")).loss;
  };
  EXPECT_FALSE(c.compare().loss);
  const auto loss = loss_with(targets);
  ASSERT_TRUE(loss);
  const auto logits = tensor_of(*c.dump.find("logits")).to(at::kDouble).flatten(0, 1);
  double expected = 0;
  for (const auto place : places) expected -= at::log_softmax(logits[place], 0)[place % 5].item<double>();
  EXPECT_EQ(loss->tokens, static_cast<std::int64_t>(places.size()));
  EXPECT_NEAR(loss->theirs, expected / static_cast<double>(places.size()), 1e-9);
  EXPECT_NEAR(loss->ours, loss->theirs, 1e-5);
  c.weight("lm_head.weight").detach().mul_(2);
  EXPECT_GT(std::abs(loss_with(targets)->ours - loss->theirs), 1e-3) << "ours is the model's";
  EXPECT_THROW(loss_with(std::vector<std::int64_t>(targets.size(), -100)), InputError);
  targets[static_cast<std::size_t>(places[0])] = 1 << 20;
  EXPECT_THROW(loss_with(targets), InputError);
}

}  // namespace
}  // namespace isotrope

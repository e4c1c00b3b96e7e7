// tests/golden/muon.safetensors: torch.optim.Muon (tools/oracles/muon_goldens.py).
#include <gtest/gtest.h>

#include "isotrope/kernels/newton_schulz.h"
#include "isotrope/optim/optimizer.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::relative;

const test::Goldens& muon_goldens() {
  static const test::Goldens file(test::source("golden/muon.safetensors"));
  return file;
}

OptimizerConfig muon_config() {
  OptimizerConfig config;
  config.name = "muon";
  return config;
}

TEST(NewtonSchulz, EqualsThePublishedLinesAndTheFixture) {
  const auto i = at::arange(4, at::kDouble).unsqueeze(1), j = at::arange(6, at::kDouble);
  const auto g = at::sin(0.9 * (i + 1) * (j + 1) + 0.3 * i);
  EXPECT_NEAR(newton_schulz(g.to(at::kFloat))[0][0].item<double>(), 0.2940385603, 1e-5);
  EXPECT_LT(relative(newton_schulz(g), muon_goldens()("newton_schulz")), 1e-6);
  EXPECT_LT(relative(newton_schulz(g.t()), muon_goldens()("newton_schulz").t()), 1e-6);  // the longer side may come first
  const auto singular = std::get<1>(at::linalg_svd(newton_schulz(g)));
  const double expected[] = {1.13432035, .69981103, .69877585, .69266453};
  for (int k = 0; k < 4; ++k) EXPECT_NEAR(singular[k].item<double>(), expected[k], 1e-6);
}

TEST(NewtonSchulz, ZeroStaysZero) { EXPECT_EQ(newton_schulz(at::zeros({3, 5})).abs().max().item<double>(), 0); }

/// A group with the matrices of the golden file, and Muon as the golden run NAME sets it.
struct GoldenMuon {
  Parameters parameters{at::TensorOptions(at::kFloat)};
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Gradients> gradients;
  double lr;

  explicit GoldenMuon(const std::string& name) {
    const auto run = nlohmann::json::parse(muon_goldens().file().metadata().at(name));
    OptimizerConfig config = muon_config();
    config.weight_decay = run["weight_decay"], lr = run["lr"];
    config.muon.momentum = run["momentum"], config.muon.nesterov = run["nesterov"], config.muon.iterations = run["iterations"];
    config.muon.scale = run["scale"];
    for (const std::string key : {"wide", "tall", "square"}) {
      const auto start = muon_goldens()("weights." + key);
      const at::NoGradGuard no_grad;
      parameters.add(key, start.sizes().vec(), ParameterClass::matrix, {}).copy_(start);
    }
    optimizer = make_optimizer(parameters, at::kFloat, config);
    gradients = std::make_unique<Gradients>(optimizer->parameters());
    gradients->begin(), gradients->collect();
  }
  void step(std::int64_t number) {
    for (const auto& segment : optimizer->parameters().segments())
      gradients->of(segment).copy_(muon_goldens()("gradient_scale")[number] * muon_goldens()("gradients." + segment.name)[number % 4]);
    optimizer->step_(*gradients, lr, 1);
  }
};

TEST(Muon, TwentyStepsEqualTorchsClassInFp32) {
  for (const std::string name : {"moonlight", "jordan"}) {
    GoldenMuon run(name);
    for (int step = 0; step < 20; ++step) run.step(step);
    for (const auto& parameter : run.parameters.all())
      EXPECT_LT(relative(parameter.value, muon_goldens()(name + ".weights." + parameter.name)), 1e-5) << name << ' ' << parameter.name;
    for (const auto& [state, value] : run.optimizer->state())
      EXPECT_LT(relative(value, muon_goldens()(name + "." + state)), 1e-5) << name << ' ' << state;
  }
}

TEST(Muon, AStepIsWithinThreePercentOfTorchsStockClassInBf16) {
  for (const std::string name : {"moonlight", "jordan"}) {
    GoldenMuon run(name);
    run.step(0);
    for (const auto& parameter : run.parameters.all()) {
      const auto start = muon_goldens()("weights." + parameter.name);
      EXPECT_LT(relative(parameter.value - start, muon_goldens()(name + ".stock." + parameter.name) - start), 0.03)
          << name << parameter.name;
    }
  }
}

/// The update of one parameter with this gradient, at learning rate 1 without decay.
at::Tensor muon_update(const at::Tensor& gradient, const MatrixForm& form, const std::string& scale = "moonlight") {
  Parameters parameters{at::TensorOptions(at::kFloat)};
  const at::NoGradGuard no_grad;
  parameters.add("w", gradient.sizes().vec(), ParameterClass::matrix, {}, form).zero_();
  auto config = muon_config();
  config.weight_decay = 0, config.muon.scale = scale;
  auto optimizer = make_optimizer(parameters, at::kFloat, config);
  Gradients gradients(optimizer->parameters());
  gradients.begin(), gradients.collect();
  gradients.of(optimizer->parameters().segments().front()).copy_(gradient);
  optimizer->step_(gradients, 1, 1);
  return parameters.all().front().value.detach().clone();
}

TEST(Muon, WeightsStoredAsOneMoveAsIfTheyWereApart) {
  const auto a = at::randn({6, 10}), b = at::randn({6, 10}), c = at::randn({4, 10});
  const auto apart = [&](const std::string& scale) {
    return at::cat({muon_update(a, {}, scale), muon_update(b, {}, scale), muon_update(c, {}, scale)});
  };
  for (const std::string scale : {"moonlight", "jordan"}) {
    EXPECT_LT(relative(muon_update(at::cat({a, b, c}), {.parts = {6, 6, 4}}, scale), apart(scale)), 1e-6);
    EXPECT_LT(relative(muon_update(at::cat({a, b, c}).t().contiguous(), {.transposed = true, .parts = {6, 6, 4}}, scale), apart(scale).t()),
              1e-6);
  }
  // Two heads whose queries and keys take turns: rows q q | k k | q q | k k of two matrices of four rows.
  const auto q = at::randn({4, 10}), k = at::randn({4, 10});
  const auto woven = [](const at::Tensor& x, const at::Tensor& y) {
    return at::cat({x.narrow(0, 0, 2), y.narrow(0, 0, 2), x.narrow(0, 2, 2), y.narrow(0, 2, 2)});
  };
  EXPECT_LT(relative(muon_update(woven(q, k), {.parts = {2, 2}, .blocks = 2}), woven(muon_update(q, {}), muon_update(k, {}))), 1e-6);
}

}  // namespace
}  // namespace isotrope

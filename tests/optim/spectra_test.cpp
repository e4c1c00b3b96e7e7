// tests/golden/spectra.safetensors: an independent script in float64 (tools/oracles/spectra_goldens.py).
#include <gtest/gtest.h>

#include "isotrope/kernels/spectra.h"
#include "isotrope/optim/optimizer.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::relative;

const test::Goldens& spectra_goldens() {
  static const test::Goldens file(test::source("golden/spectra.safetensors"));
  return file;
}

OptimizerConfig spectra_config() {
  OptimizerConfig config;
  config.name = "spectra";
  return config;
}

const std::vector<std::string> golden_runs = {"default", "other", "unchanged", "next", "median"};
const std::vector<std::string> golden_matrices = {"wide", "tall", "square"};

/// A golden run's settings as a configuration, and its learning rate.
std::pair<OptimizerConfig, double> golden_config(const std::string& name) {
  const auto run = nlohmann::json::parse(spectra_goldens().file().metadata().at(name));
  auto config = spectra_config();
  config.weight_decay = run["weight_decay"];
  config.spectra = {.momentum = run["momentum"],
                    .rank_fraction = run["rank_fraction"],
                    .rms = run["rms"],
                    .iterations = run["iterations"],
                    .spike_target = run["spike_target"]};
  return {config, run["lr"]};
}

at::Tensor golden_gradient(const std::string& matrix, std::int64_t step) {
  return spectra_goldens()("gradient_scale")[step] * spectra_goldens()("gradients." + matrix)[step % 4];
}

TEST(Spectra, TwentyStepsEqualTheScriptInFp32) {
  for (const auto& name : golden_runs) {
    const auto [config, lr] = golden_config(name);
    Parameters parameters{at::TensorOptions(at::kFloat)};
    for (const auto& matrix : golden_matrices) {
      const at::NoGradGuard no_grad;
      const auto start = spectra_goldens()("weights." + matrix);
      parameters.add(matrix, start.sizes().vec(), ParameterClass::matrix, {}).copy_(start);
    }
    auto optimizer = make_optimizer(parameters, at::kFloat, config);
    for (auto [state, value] : optimizer->state())
      if (state.starts_with("right_basis.")) value.copy_(spectra_goldens()(name + ".first_basis." + state.substr(12)));
    Gradients gradients(optimizer->parameters());
    gradients.begin(), gradients.collect();
    for (int step = 0; step < 20; ++step) {
      for (const auto& segment : optimizer->parameters().segments()) gradients.of(segment).copy_(golden_gradient(segment.name, step));
      optimizer->step_(gradients, lr, 1);
    }
    for (const auto& p : parameters.all())
      EXPECT_LT(relative(p.value, spectra_goldens()(name + ".weights." + p.name)), 1e-5) << name << p.name;
    for (const auto& [state, value] : optimizer->state())
      EXPECT_LT(relative(value, spectra_goldens()(name + "." + state)), 1e-4) << name << ' ' << state;
  }
}

TEST(Spectra, TwentyStepsOfTheFormulaEqualTheScriptInFloat64) {
  for (const auto& name : golden_runs) {
    const auto [config, lr] = golden_config(name);
    const auto& c = config.spectra;
    for (const auto& matrix : golden_matrices) {
      const auto start = spectra_goldens()("weights." + matrix).to(at::kDouble).unsqueeze(0);
      SpectraMatrix x{start.clone(), at::zeros_like(start), {}, {}, spectra_goldens()(name + ".first_basis." + matrix).to(at::kDouble)};
      using enum SpikeTarget;
      const std::map<std::string, SpikeTarget> targets{
          {"tail_rms", tail_rms}, {"next", next}, {"median", median}, {"zero", zero}, {"unchanged", unchanged}};
      for (int step = 0; step < 20; ++step) {
        x.gradient = golden_gradient(matrix, step).to(at::kDouble).unsqueeze(0);
        reference::spectra_(x, {.lr = lr,
                                .weight_decay = config.weight_decay,
                                .momentum = c.momentum,
                                .rms = c.rms,
                                .iterations = c.iterations,
                                .target = targets.at(c.spike_target)});
        if (step == 0) {
          EXPECT_LT(relative(x.weight[0], spectra_goldens()(name + ".first." + matrix)), 1e-12) << name << ' ' << matrix;
        }
      }
      EXPECT_LT(relative(x.weight[0], spectra_goldens()(name + ".weights." + matrix)), 1e-11) << name << ' ' << matrix;
      EXPECT_LT(relative(x.basis, spectra_goldens()(name + ".right_basis." + matrix)), 1e-9) << name << ' ' << matrix;
    }
  }
}

/// One parameter and its optimizer.
struct OneWeight {
  Parameters parameters{at::TensorOptions(at::kFloat)};
  std::unique_ptr<Optimizer> optimizer;

  OneWeight(std::vector<std::int64_t> shape, const MatrixForm& form, const OptimizerConfig& config = spectra_config(),
            std::uint64_t seed = 0) {
    parameters.add("w", std::move(shape), ParameterClass::matrix, {}, form);
    initialize_(parameters, 1);
    optimizer = make_optimizer(parameters, at::kFloat, config, seed);
  }
  at::Tensor move(const at::Tensor& gradient, int steps = 1) {
    Gradients gradients(optimizer->parameters());
    gradients.begin(), gradients.collect();
    gradients.of(optimizer->parameters().segments().front()).copy_(gradient);
    for (int i = 0; i < steps; ++i) optimizer->step_(gradients, 0.01, 1);
    return parameters.all().front().value.detach().clone();
  }
  std::string rule() const { return optimizer->shares().front().rule; }
};

TEST(Spectra, RemembersTheMomentumAndTheSpikesDirectionsAndNoMore) {
  const OneWeight square({400, 400}, {});
  auto adamw = spectra_config();
  adamw.name = "adamw";
  const OneWeight theirs({400, 400}, {}, adamw);
  EXPECT_EQ(square.optimizer->state_bytes(), 4 * (400 * 400 + 400 * 6));
  EXPECT_DOUBLE_EQ(1 - static_cast<double>(square.optimizer->state_bytes()) / static_cast<double>(theirs.optimizer->state_bytes()), 0.4925);
  const OneWeight fused({48, 16}, {.parts = {16, 16, 16}});
  std::vector<std::string> names;
  for (const auto& [name, value] : fused.optimizer->state()) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"momentum.w", "right_basis.w.0", "right_basis.w.1", "right_basis.w.2"}));
}

TEST(Spectra, ItsFirstDirectionsAreAFunctionOfSeedAndName) {
  const auto basis = [](std::uint64_t seed) { return OneWeight({40, 60}, {}, spectra_config(), seed).optimizer->state().back().value; };
  EXPECT_TRUE(at::equal(basis(1), basis(1)));
  EXPECT_FALSE(at::equal(basis(1), basis(2)));
}

TEST(Spectra, WhatIsTooSmallForASpikeAndATailIsAdamWs) {
  auto whole = spectra_config();
  whole.spectra.rank_fraction = 1;
  EXPECT_EQ(OneWeight({8, 100}, {}).rule(), "spectra");
  EXPECT_EQ(OneWeight({7, 100}, {}).rule(), "adamw");
  EXPECT_EQ(OneWeight({1, 100}, {}).rule(), "adamw");
  EXPECT_EQ(OneWeight({100, 16}, {}, whole).rule(), "adamw");              // no tail is left
  EXPECT_EQ(OneWeight({36, 16}, {.parts = {16, 16, 4}}).rule(), "adamw");  // one of its matrices is too small
  EXPECT_EQ(OneWeight({40, 12}, {.convolution = true}).rule(), "adamw");
}

TEST(Spectra, EveryOptionChangesAStep) {
  const auto gradient = at::randn({40, 60}) + 5 * at::randn({40, 1}).mm(at::randn({1, 60}));
  const auto moved = [&](const auto& change) {
    auto config = spectra_config();
    change(config);
    return OneWeight({40, 60}, {}, config).move(gradient, 2);
  };
  const auto plain = moved([](auto&) {});
  EXPECT_TRUE(at::equal(plain, moved([](auto&) {})));
  EXPECT_FALSE(at::equal(plain, moved([](auto& c) { c.spectra.rank_fraction = 0.1; })));
  EXPECT_FALSE(at::equal(plain, moved([](auto& c) { c.spectra.rank_fraction = 0; })));
  EXPECT_FALSE(at::equal(plain, moved([](auto& c) { c.spectra.rms = 0.3; })));
  EXPECT_FALSE(at::equal(plain, moved([](auto& c) { c.spectra.iterations = 10; })));
  EXPECT_FALSE(at::equal(plain, moved([](auto& c) { c.weight_decay = 0; })));
  for (const auto* target : {"next", "median", "zero", "unchanged"})
    EXPECT_FALSE(at::equal(plain, moved([&](auto& c) { c.spectra.spike_target = target; }))) << target;
}

TEST(Spectra, MomentumKeepsItsShareOfEarlierGradients) {
  const auto after = [](double momentum) {
    auto config = spectra_config();
    config.spectra.momentum = momentum;
    OneWeight one({20, 30}, {}, config);
    one.move(at::ones({20, 30})), one.move(at::eye(20, 30));
    return one.optimizer->state().front().value.clone();
  };
  EXPECT_TRUE(at::allclose(after(0.5), 0.5 + at::eye(20, 30)));
  EXPECT_TRUE(at::allclose(after(0), at::eye(20, 30)));
}

}  // namespace
}  // namespace isotrope

// tests/golden/adamw.safetensors: torch.optim.AdamW, clipping and schedules (tools/oracles/optimizer_goldens.py).
#include <gtest/gtest.h>

#include "isotrope/kernels/adamw.h"
#include "isotrope/optim/optimizer.h"
#include "isotrope/optim/schedule.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::Goldens;
using test::relative;

const Goldens& goldens() {
  static const Goldens file(test::source("golden/adamw.safetensors"));
  return file;
}

nlohmann::json settings(const std::string& key) { return nlohmann::json::parse(goldens().file().metadata().at(key)); }

TEST(AdamW, AHundredStepsEqualTorch) {
  for (const std::string run : {"plain", "decay", "cosine", "large_eps", "no_momentum"}) {
    const auto hyper = settings("adamw." + run);
    const auto rates = goldens()(run + ".learning_rates"), scales = goldens()("gradient_scale");
    for (const std::string name : {"a", "b", "c"}) {
      auto weights = goldens()("weights." + name).flatten(), mean = at::zeros_like(weights), square = at::zeros_like(weights);
      auto slow_weights = weights.clone(), slow_mean = mean.clone(), slow_square = square.clone();
      const auto gradients = goldens()("gradients." + name);
      for (std::int64_t step = 0; step < 100; ++step) {
        const AdamWUpdate update{rates[step].item<double>(), hyper["betas"][0], hyper["betas"][1], hyper["eps"],
                                 hyper["weight_decay"],      step + 1};
        const auto gradient = (gradients[step % 4] * scales[step]).flatten().contiguous();
        adamw_(weights, mean, square, gradient, {}, update);
        reference::adamw_(slow_weights, slow_mean, slow_square, gradient, {}, update);
        if (step == 9) {
          EXPECT_LT(relative(weights, goldens()(run + ".after_10." + name).flatten()), 1e-6) << run << ' ' << name;
        }
      }
      EXPECT_LT(relative(weights, goldens()(run + ".weights." + name).flatten()), 1e-6) << run << ' ' << name;
      EXPECT_LT(relative(mean, goldens()(run + ".first_moment." + name).flatten()), 1e-6) << run << ' ' << name;
      EXPECT_LT(relative(square, goldens()(run + ".second_moment." + name).flatten()), 1e-6) << run << ' ' << name;
      EXPECT_LT(relative(weights, slow_weights), 1e-6) << run << ' ' << name;
    }
  }
}

TEST(AdamW, TheWorkingCopyIsTheRoundedMaster) {
  auto weights = at::randn({40000}), mean = at::zeros_like(weights), square = at::zeros_like(weights), gradient = at::randn({40000});
  auto working = at::empty({40000}, at::kBFloat16);
  adamw_(weights, mean, square, gradient, working, {1e-2, 0.9, 0.95, 1e-8, 0.1, 1});
  EXPECT_TRUE(at::equal(working, weights.to(at::kBFloat16)));
}

TEST(AdamW, ClippingEqualsTorch) {
  for (int i = 0; i < 4; ++i) {
    const auto name = "clip." + std::to_string(i) + ".";
    const auto flat =
        at::cat({goldens()("clip.gradients.a").flatten(), goldens()("clip.gradients.b"), goldens()("clip.gradients.c").flatten()});
    const double norm = std::sqrt(squared_norm(flat)), most = goldens()(name + "max_norm").item<double>();
    EXPECT_NEAR(norm / goldens()(name + "norm").item<double>(), 1.0, 1e-7);
    const auto clipped = flat * std::min(1.0, most / (norm + 1e-6));
    const auto expected = at::cat({goldens()(name + "a").flatten(), goldens()(name + "b"), goldens()(name + "c").flatten()});
    EXPECT_LT(relative(clipped, expected), 1e-6) << i;
  }
}

TEST(AdamW, TheNormDoesNotDependOnTheNumberOfThreads) {
  const auto flat = at::randn({1000003});
  const auto threads = at::get_num_threads();
  at::set_num_threads(1);
  const double one = squared_norm(flat);
  at::set_num_threads(2);
  EXPECT_EQ(squared_norm(flat), one);
  at::set_num_threads(threads);
}

TEST(Schedule, EqualsTheTables) {
  int compared = 0;
  for (const auto& [key, text] : goldens().file().metadata()) {
    if (!key.starts_with("schedule.")) continue;
    const auto s = nlohmann::json::parse(text);
    const std::string kind = s["kind"];
    const auto shape = kind == "cosine"       ? ScheduleShape::cosine
                       : kind == "wsd_linear" ? ScheduleShape::wsd_linear
                       : kind == "wsd_sqrt"   ? ScheduleShape::wsd_sqrt
                                              : ScheduleShape::exponential;
    ScheduleOptions options{shape, s["steps"], s["warmup"], 0, s["min_lr"].get<double>() / s["lr"].get<double>()};
    if (kind != "cosine") options.decay_steps = options.steps - s.value("stable_until", options.warmup_steps);
    const Schedule schedule(options);
    const auto rates = goldens()(key + ".rates");
    for (std::int64_t step = 0; step < options.steps; ++step)
      EXPECT_NEAR(schedule.factor(step) * s["lr"].get<double>(), rates[step].item<double>(), 1e-12) << key << ' ' << step;
    ++compared;
  }
  EXPECT_EQ(compared, 6);
}

TEST(FlatParameters, AreTheModelsOwnTensors) {
  Parameters parameters(at::TensorOptions(at::kFloat));
  const auto a = parameters.add("a", {3, 5}, ParameterClass::matrix, {}),
             b = parameters.add("b", {7}, ParameterClass::vector, {Initialization::Kind::ones});
  initialize_(parameters, 3);
  const auto before = a.detach().clone();
  for (const auto working : {at::kFloat, at::kBFloat16}) {
    FlatParameters flat(parameters, working);
    EXPECT_TRUE(at::equal(a.detach().to(at::kFloat), working == at::kFloat ? before : before.to(at::kBFloat16).to(at::kFloat)));
    Gradients gradients(flat);
    gradients.begin();
    for (int pass = 0; pass < 3; ++pass) {
      ((a.to(at::kFloat) * 2).sum() + b.to(at::kFloat).sum()).backward();
      gradients.collect();
    }
    EXPECT_EQ(gradients.of(flat.segment("a")).sum().item<double>(), 3 * 2 * 15);
    EXPECT_EQ(gradients.flat().sum().item<double>(), 3 * (2 * 15 + 7));  // the gaps hold nothing
    flat.master().fill_(0.5);
    flat.refresh_working();
    EXPECT_EQ(a.sum().item<double>(), 7.5);
    flat.master().copy_(at::zeros_like(flat.master()));
    flat.segment("a").in(flat.master()).copy_(before);
    flat.refresh_working();
  }
}

TEST(Initialization, DependsOnSeedAndNameAlone) {
  const auto draw = [](std::uint64_t seed, std::vector<std::string> names, int threads) {
    at::set_num_threads(threads);
    Parameters parameters(at::TensorOptions(at::kFloat));
    for (const auto& name : names) parameters.add(name, {100, 100}, ParameterClass::matrix, {.std = 0.5});
    initialize_(parameters, seed);
    return parameters.find("x")->value.detach().clone();
  };
  const auto threads = at::get_num_threads();
  const auto x = draw(1, {"x", "y"}, 1);
  EXPECT_TRUE(at::equal(x, draw(1, {"z", "x"}, 2)));
  EXPECT_FALSE(at::equal(x, draw(2, {"x"}, 2)));
  EXPECT_NEAR(x.std().item<double>(), 0.5, 0.02);  // 10,000 draws: a standard error of 0.0035
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace isotrope

// Observers, and runs that are watched, killed and resumed under each update rule.
#include "isotrope/train/observer.h"

#include "isotrope/base/error.h"
#include "isotrope/train/session.h"
#include "isotrope/train/step.h"
#include "tests/train/small_run.h"

namespace isotrope {
namespace {

class Observed : public test::SmallRun {
 protected:
  RunConfig config(const std::string& run, const std::string& rule, const std::string& precision = "bf16") const {
    auto c = SmallRun::config(run);
    c.optimizer.name = rule, c.train.precision = precision;
    return c;
  }
  static void expect_equal_runs(const RunConfig& a, const RunConfig& b) {
    for (const auto* file : {"model.safetensors", "optimizer.safetensors"})
      EXPECT_EQ(bytes_of(a.run.folder, file), bytes_of(b.run.folder, file)) << a.run.folder << ' ' << file;
  }
};

/// Looks every second step: takes a backward pass of its own over random tokens, writes a record, and remembers how often.
struct Probe : Observer {
  std::int64_t times = 0;
  std::vector<double> norms;
  std::string_view name() const override { return "probe"; }
  bool wants(std::int64_t step) const override { return step % 2 == 0; }
  void before_update(const StepView& view) override {
    Gradients own(view.parameters);
    const auto ids = at::arange(64, at::kLong).view({2, 32}) % 250;
    const std::vector<Batch> batches{{.ids = ids, .tokens = 64, .tensors = {{"targets", ids.flip(1)}}, .counts = {{"token", 64}}}};
    const auto outcome = compute_gradients(view.model, own, view.objective, batches);
    norms.push_back(view.optimizer.gradient_norm(own.squared_norms()));
    view.log.append({{"type", "probe"}, {"step", view.step}, {"loss", outcome.loss}, {"norm", norms.back()}, {"times", ++times}});
  }
  nlohmann::json state() const override { return times; }
  void restore(const nlohmann::json& state) override { times = state; }
};

/// Computes a loss without a backward pass of its own, as a careless probe may.
struct ForwardOnly : test::Watcher {
  void before_update(const StepView& view) override {
    const auto ids = at::arange(64, at::kLong).view({2, 32}) % 250;
    const Batch batch{.ids = ids, .tokens = 64, .tensors = {{"targets", ids.flip(1)}}, .counts = {{"token", 64}}};
    Measures measures;
    view.objective.loss(view.model, batch, StepCounts({&batch, 1}), {}, measures);
    EXPECT_TRUE(measures.any());
  }
};

struct CrashAt : test::Watcher {
  std::int64_t step;
  explicit CrashAt(std::int64_t at) : step(at) {}
  void after_update(const StepView& view) override {
    if (view.step == step) throw WorkError("test", "crash");
  }
};

TEST_F(Observed, ARunWithProbesEndsWithTheWeightsOfOneWithout) {
  for (const std::string rule : {"adamw", "muon", "spectra"})
    for (const std::string precision : {"bf16", "fp32"}) {
      const auto alone = config("alone-" + rule + precision, rule, precision),
                 watched = config("watched-" + rule + precision, rule, precision);
      Probe probe;
      ForwardOnly forward;
      train(alone), train(watched, {.observers = {&probe, &forward}});
      EXPECT_EQ(probe.norms.size(), 6u);
      expect_equal_runs(alone, watched);
    }
}

TEST_F(Observed, AKilledRunGoesOnWithTheSameBitsUnderEveryRuleAndItsProbesGoOnToo) {
  for (const std::string rule : {"adamw", "muon", "spectra"})
    for (const std::string precision : {"bf16", "fp32"}) {
      const auto whole = config("whole-" + rule + precision, rule, precision), parts = config("parts-" + rule + precision, rule, precision);
      Probe first, second, third;
      train(whole, {.observers = {&first}});
      CrashAt crash(7);
      EXPECT_THROW(train(parts, {.observers = {&second, &crash}}), WorkError);
      train(parts, {.resume = true, .observers = {&third}});
      expect_equal_runs(whole, parts);
      EXPECT_EQ(third.times, 6);  // of which those up to the checkpoint of step 5 came from it
      EXPECT_EQ(records(whole.run.folder, "probe"), records(parts.run.folder, "probe"));
    }
}

TEST_F(Observed, ResumingUnderAnotherRuleIsRefusedByName) {
  auto c = config("rule", "muon");
  train(c);
  c.train.steps = 15, c.optimizer.name = "adamw";
  try {
    train(c, {.resume = true});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(error.message().find("optimizer.name = muon"), std::string::npos) << error.message();
    EXPECT_NE(error.hint().find("--set optimizer.name=muon"), std::string::npos) << error.hint();
  }
  c.optimizer.name = "muon", c.optimizer.adamw_matrices = {"*.mlp.*"};
  EXPECT_THROW(train(c, {.resume = true}), InputError);  // those matrices' momentum has no place any more
  c.optimizer.adamw_matrices = {};
  EXPECT_EQ(train(c, {.resume = true}).steps, 15);
}

TEST_F(Observed, ACheckpointFromBeforeTheRulesIsAdamWs) {
  const auto whole = config("whole", "adamw");
  train(whole);
  auto c = config("old", "adamw");
  CrashAt crash(7);
  EXPECT_THROW(train(c, {.observers = {&crash}}), WorkError);
  const auto file = newest_checkpoint(c.run.folder).value() / "train_state.json";
  auto state = nlohmann::json::parse(read_file(file, "test"));
  state.erase("optimizer"), state.erase("observers");
  write_file(file, state.dump(), "test");
  train(c, {.resume = true});
  expect_equal_runs(whole, c);
}

TEST_F(Observed, BeforeTheUpdateWeightsAreThoseOfTheStepBeforeAndAfterItTheUpdateCanBeHad) {
  struct Difference : test::Watcher {
    at::Tensor before, gradient;
    double largest = 0;
    void before_update(const StepView& view) override {
      before = view.parameters.master().clone(), gradient = view.gradients.flat().clone();
      EXPECT_TRUE(std::isfinite(view.loss));
    }
    void after_update(const StepView& view) override {
      EXPECT_TRUE(at::equal(gradient, view.gradients.flat()));
      // U = −(W′ − (1 − ηλ)W)/η: of Moonlight's scale, so that its root mean square is 0.2 times that of Newton–Schulz's singular values.
      for (const auto& segment : view.parameters.segments()) {
        if (segment.kind != ParameterClass::matrix) continue;
        const auto u = -(segment.in(view.parameters.master()) - (1 - view.lr * 0.1) * segment.in(before)) / view.lr;
        const double rms = u.square().mean().sqrt().item<double>();
        EXPECT_GT(rms, 0.2 * 0.5) << segment.name;
        EXPECT_LT(rms, 0.2 * 1.3) << segment.name;
      }
    }
  } difference;
  train(config("difference", "muon", "fp32"), {.observers = {&difference}});
}

TEST_F(Observed, WhatEachObserverCostIsInTheLastRecord) {
  auto c = config("cost", "adamw");
  c.observe.weights = 4, c.observe.samples = 6, c.sample.prompt = "the", c.sample.max_tokens = 2;
  Probe probe;
  train(c, {.observers = {&probe}});
  const auto costs = records(c.run.folder, "end").back()["observers"];
  EXPECT_EQ(costs["probe"]["times"], 6);
  EXPECT_EQ(costs["weights"]["times"], 3);
  EXPECT_EQ(costs["samples"]["times"], 2);
  EXPECT_EQ(costs["evaluation"]["times"], 2);
  EXPECT_GT(costs["probe"]["seconds"].get<double>(), 0);
  // Which are there follows from [observe] alone.
  // A look at the end counts, too.
  c = config("last", "adamw");
  c.observe.evaluation = 200;
  train(c);
  EXPECT_EQ(records(c.run.folder, "end").back()["observers"]["evaluation"]["times"], 1);
  c = config("none", "adamw");
  c.observe = {.evaluation = 0, .samples = 0, .weights = 0};
  train(c);
  EXPECT_EQ(records(c.run.folder, "end").back()["observers"], nlohmann::json::object());
  for (const auto* type : {"eval", "sample", "weights"}) EXPECT_TRUE(records(c.run.folder, type).empty());
}

TEST_F(Observed, WhichRuleServesWhichParameterIsLogged) {
  const auto c = config("rules", "muon");
  train(c);
  const auto rules = records(c.run.folder, "rules").at(0)["rules"];
  std::map<std::string, std::string> rule_of;
  for (const auto& share : rules)
    for (const auto& name : share["parameters"]) rule_of[name] = share["rule"];
  EXPECT_EQ(rule_of.at("model.layers.1.mlp.up_proj.weight"), "muon");
  EXPECT_EQ(rule_of.at("model.embed_tokens.weight"), "adamw");
  EXPECT_EQ(rule_of.at("model.norm.weight"), "adamw");
}

}  // namespace
}  // namespace isotrope

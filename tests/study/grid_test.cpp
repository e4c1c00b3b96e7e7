// Axes, seeds, and what a comparison makes of its runs.
#include "isotrope/study/comparison.h"

#include <gtest/gtest.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "tests/train/small_run.h"

namespace isotrope {
namespace {

TEST(Grid, AxesAndSeedsAreReadOrRefused) {
  const auto axis = parse_axis("optimizer.lr=1e-3,5e-3");
  EXPECT_EQ(axis.key, "optimizer.lr");
  EXPECT_EQ(axis.values, (std::vector<std::string>{"1e-3", "5e-3"}));
  for (const auto* text : {"optimizer.lr", "=1", "a=", "a=1,,2", "a=1,1", "run.folder=x", "train.seed=1,2", "compare.seeds=1"})
    EXPECT_THROW(parse_axis(text), UsageError) << text;
  EXPECT_EQ(parse_seeds("3,1"), (std::vector<std::int64_t>{3, 1}));
  for (const auto* text : {"", "a", "1,", "1,1", "-1", "1.5"}) EXPECT_THROW(parse_seeds(text), UsageError) << text;
}

class Compared : public test::SmallRun {
 protected:
  Compared() {
    write_file(folder_ / "run.toml",
               fmt::format(R"([model]
config = "{0}/model.json"
[data]
train = "{0}/train.tokens"
validation = "{0}/validation.tokens"
tokenizer = "bytes"
[train]
steps = 12
batch_size = 4
context = 32
threads = 2
precision = "fp32"
[observe]
evaluation = 4
weights = 0
)",
                           folder_.path().string()),
               "test");
  }
  ComparisonOptions options(const std::vector<std::string>& axes, const std::string& output = "out") {
    ComparisonOptions o{.config = folder_ / "run.toml", .output = folder_ / output, .threads = 2};
    for (const auto& axis : axes) o.grid.axes.push_back(parse_axis(axis));
    o.grid.seeds = {0};
    o.say = [this](const std::string& line) { said_ += line + "\n"; };
    return o;
  }
  std::string said_;
};

TEST_F(Compared, EveryCombinationIsARunOfItsOwnSettings) {
  auto o = options({"optimizer.name=adamw,spectra", "optimizer.lr=1e-3,1e-2"});
  o.grid.seeds = {4, 5};
  const auto runs = o.grid.runs(o.config, {"train.steps=3"}, o.output);
  ASSERT_EQ(runs.size(), 8u);
  EXPECT_EQ(runs[0].folder, "runs/adamw-1e-3-seed4");
  EXPECT_EQ(runs[3].values, (std::vector<std::string>{"spectra", "1e-2"}));
  EXPECT_EQ(runs[7].config.optimizer.name, "spectra");
  EXPECT_EQ(runs[7].config.optimizer.lr, 1e-2);
  EXPECT_EQ(runs[7].config.train.seed, 5);
  EXPECT_EQ(runs[7].config.train.steps, 3);
  EXPECT_EQ(runs[7].config.run.folder, (o.output / runs[7].folder).string());
}

TEST_F(Compared, WhatDoesNotHoldTogetherIsRefusedBeforeAnythingIsTrained) {
  for (const auto& axes : std::vector<std::vector<std::string>>{{"optimizer.lrr=1"},
                                                                {"optimizer.name=adamw,muoon"},
                                                                {"optimizer.lr=1,fast"},
                                                                {"optimizer.lr=1", "optimizer.lr=2"},
                                                                {"optimizer.lr=1e-3,0.001"}}) {
    const auto o = options(axes);
    EXPECT_THROW(compare(o), UsageError) << axes.front();
    EXPECT_FALSE(fs::exists(o.output)) << axes.front();
  }
  EXPECT_THROW(compare(options({"data.train=" + (folder_ / "train.tokens").string() + ",none.tokens"})), InputError);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  auto o = options({"optimizer.lr=1e-3"});
  for (const auto* reference : {"optimizer.lr=2", "optimizer.lr", "train.steps=3"}) {
    o.grid.reference = reference;
    EXPECT_THROW(compare(o), UsageError) << reference;
  }
}

TEST_F(Compared, TrainsAllAndRepeatsNothing) {
  auto o = options({"optimizer.name=adamw,spectra", "optimizer.lr=1e-3,1e-2"});
  o.grid.reference = "optimizer.name=adamw";
  create_folders(o.output, "test");
  const auto all = compare(o);
  ASSERT_EQ(all["runs"].size(), 4u);
  for (const auto& run : all["runs"]) {
    EXPECT_EQ(run["status"], "done");
    EXPECT_EQ(run["step"], 12);
    const auto evaluations = records(o.output / run["folder"].get<std::string>(), "eval");
    EXPECT_EQ(run["final_nll"], evaluations.back()["nll"]);
    EXPECT_GT(run["optimizer_seconds_per_step"].get<double>(), 0);
  }
  EXPECT_EQ(all["summary"].size(), 4u);
  EXPECT_LT(all["summary"][2]["matrix_state_bytes"], all["summary"][0]["matrix_state_bytes"]);
  EXPECT_EQ(all["best"].size(), 2u);
  // The reference's best run reaches its own loss where it ends.
  const auto& best = all["runs"][all["runs"][0]["final_nll"] < all["runs"][1]["final_nll"] ? 0 : 1];
  EXPECT_EQ(all["reference"]["nll"], best["final_nll"]);
  EXPECT_NEAR(best["steps_to"]["optimizer.name=adamw"].get<double>(), 12, 1e-9);
  EXPECT_TRUE(fs::exists(o.output / "report.html"));
  EXPECT_EQ(nlohmann::json::parse(read_file(o.output / "compare.json", "test")), all);

  const auto written = fs::last_write_time(o.output / "runs/adamw-1e-3-seed0/run.jsonl");
  said_.clear();
  EXPECT_EQ(compare(o), all);
  EXPECT_EQ(fs::last_write_time(o.output / "runs/adamw-1e-3-seed0/run.jsonl"), written);
  EXPECT_EQ(said_, "");

  o.set = {"train.batch_size=5"};
  EXPECT_THROW(compare(o), InputError);  // another comparison
}

TEST_F(Compared, GoesOnWhereItWasKilled) {
  auto o = options({"optimizer.name=adamw,spectra"}, "cut"), whole = options({"optimizer.name=adamw,spectra"}, "whole");
  o.set = whole.set = {"checkpoint.every=4"};
  create_folders(o.output, "test"), create_folders(whole.output, "test");
  compare(whole);
  // The first run stands after eight steps, as a kill would leave it: its configuration is that of the whole run.
  struct CrashAt : test::Watcher {
    void after_update(const StepView& view) override {
      if (view.step == 8) throw InputError("test", "killed");
    }
  } crash;
  const auto runs = o.grid.runs(o.config, o.set, o.output);
  EXPECT_THROW(train(runs[0].config, {.observers = {&crash}}), InputError);
  const auto all = compare(o);
  EXPECT_EQ(all["runs"][0]["status"], "done");
  for (const auto* run : {"runs/adamw-seed0", "runs/spectra-seed0"})
    EXPECT_EQ(bytes_of(o.output / run), bytes_of(whole.output / run)) << run;
}

TEST_F(Compared, LongAndOddValuesMakeFoldersThatFileSystemsTake) {
  fs::copy(folder_ / "train.tokens", folder_ / (std::string(90, 'a') + ".tokens"));
  fs::copy(folder_ / "train.tokens", folder_ / (std::string(90, 'a') + "b.tokens"));
  auto o = options(
      {"data.train=" + (folder_ / std::string(90, 'a')).string() + ".tokens," + (folder_ / std::string(90, 'a')).string() + "b.tokens"});
  const auto runs = o.grid.runs(o.config, {}, o.output);
  EXPECT_NE(runs[0].folder, runs[1].folder);
  for (const auto& run : runs) {
    EXPECT_LT(run.folder.size(), 120u);
    EXPECT_EQ(std::ranges::count(run.folder, '/'), 1);
  }
}

TEST_F(Compared, AReferenceWithoutEvaluationsIsRefused) {
  auto o = options({"optimizer.lr=1e-3,1e-2"});
  o.grid.reference = "optimizer.lr=1e-3";
  for (const auto* set : {"observe.evaluation=0", "data.validation="}) {
    o.set = {set};
    EXPECT_THROW(o.grid.runs(o.config, o.set, o.output), UsageError) << set;
  }
}

TEST_F(Compared, GoingOnFromATrainedModelIsNoDivergence) {
  auto first = options({"optimizer.lr=1e-2"}, "first");
  create_folders(first.output, "test");
  compare(first);
  auto o = options({"optimizer.lr=1e-7,1e-6"}, "second");
  o.set = {"model.config=", "model.init_from=" + (first.output / "runs/1e-2-seed0").string(), "train.steps=3", "train.seed=5"};
  create_folders(o.output, "test");
  for (const auto& run : compare(o)["runs"]) EXPECT_EQ(run["status"], "done") << run.dump();
}

TEST_F(Compared, ARunThatDivergesIsAResult) {
  auto o = options({"optimizer.lr=1e-3,1e9"});
  o.set = {"train.max_skipped=1", "schedule.warmup_steps=0", "schedule.name=constant"};
  create_folders(o.output, "test");
  const auto all = compare(o);
  EXPECT_EQ(all["runs"][0]["status"], "done");
  EXPECT_EQ(all["runs"][1]["status"], "diverged") << all["runs"][1].dump();
  EXPECT_TRUE(all["runs"][1]["final_nll"].is_null());
  EXPECT_LE(all["runs"][1]["diverged_at"].get<int>(), 4);
  EXPECT_EQ(all["summary"][1]["diverged"], 1);
  EXPECT_EQ(all["best"][0]["value"], 1e-3);
  EXPECT_EQ(all["best"][0]["at_edge"], true);
  said_.clear();
  compare(o);
  EXPECT_EQ(said_, "");  // it is not tried again
}

TEST(Comparison, StepsToALossLieBetweenTwoEvaluations) {
  const Curve curve{{10, 20, 30}, {5, 4, 4.5}};
  EXPECT_DOUBLE_EQ(step_reaching(curve, 4.25).value(), 17.5);
  EXPECT_DOUBLE_EQ(step_reaching(curve, 4).value(), 20);
  EXPECT_DOUBLE_EQ(step_reaching(curve, 6).value(), 10);
  EXPECT_FALSE(step_reaching(curve, 3.9));
  EXPECT_FALSE(step_reaching(curve, std::nan("")));
  EXPECT_FALSE(step_reaching({}, 1));
}

/// A finished run with this final loss.
RunOutcome ended_with(double nll) {
  return {.status = RunOutcome::Status::done,
          .step = 30,
          .seconds = 70,
          .final_nll = nll,
          .nll = {{15, 30}, {nll + 1, nll}},
          .seconds_at = {{10, 20, 30}, {30, 40, 70}}};
}

TEST(Comparison, MeanSpreadReferenceAndEdgeAreByTheirDefinitions) {
  Grid grid{
      .axes = {{"optimizer.name", {"a", "b"}}, {"optimizer.lr", {"0.1", "0.2", "0.3"}}}, .seeds = {1, 2}, .reference = "optimizer.name=a"};
  std::vector<GridRun> runs;
  std::vector<RunOutcome> outcomes;
  const double losses[2][3] = {{5, 4, 4.5}, {3.5, 3.6, 3.7}};
  for (const int seed : {1, 2})
    for (std::size_t a = 0; a < 2; ++a)
      for (std::size_t b = 0; b < 3; ++b) {
        runs.push_back({.values = {grid.axes[0].values[a], grid.axes[1].values[b]}, .seed = seed});
        outcomes.push_back(ended_with(losses[a][b] + (seed == 1 ? 0.1 : -0.1)));
      }
  outcomes[5].status = RunOutcome::Status::diverged, outcomes[5].final_nll = std::nan("");
  const auto all = comparison_json(grid, runs, outcomes);
  EXPECT_NEAR(all["reference"]["nll"].get<double>(), 4, 1e-12);
  EXPECT_NEAR(all["summary"][0]["final_nll"]["mean"].get<double>(), 5, 1e-12);
  EXPECT_NEAR(all["summary"][0]["final_nll"]["sd"].get<double>(), 0.2 / std::sqrt(2.0), 1e-12);
  EXPECT_EQ(all["summary"][5]["final_nll"]["n"], 1);
  EXPECT_TRUE(all["summary"][5]["final_nll"]["sd"].is_null());
  EXPECT_EQ(all["summary"][5]["diverged"], 1);
  // b at 0.1, seed 1: 4.6 at step 15, 3.6 at 30: 4 is reached at 24, after 40 + 0.4 · 30 s.
  EXPECT_NEAR(all["runs"][3]["steps_to"]["optimizer.name=a"].get<double>(), 24, 1e-9);
  EXPECT_NEAR(all["runs"][3]["seconds_to"]["optimizer.name=a"].get<double>(), 52, 1e-9);
  EXPECT_EQ(all["best"][0]["value"], 0.2);
  EXPECT_EQ(all["best"][0]["at_edge"], false);
  EXPECT_EQ(all["best"][1]["value"], 0.1);
  EXPECT_EQ(all["best"][1]["at_edge"], true);
  outcomes[3].status = RunOutcome::Status::diverged, outcomes[3].final_nll = std::nan("");  // the best one, with one seed
  EXPECT_EQ(comparison_json(grid, runs, outcomes)["best"][1]["value"], 0.2);
}

}  // namespace
}  // namespace isotrope

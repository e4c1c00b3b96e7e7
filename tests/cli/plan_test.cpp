// `isotrope plan` before and after a run.
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

std::string plan_arguments(const Workplace& place, const std::string& rest = "") {
  return "plan " + place("run.toml") + " --steps 1 " + rest;
}

TEST(PlanCommand, SaysWhatARunWillNeedAndKeepsIt) {
  const Workplace place;
  const auto result = run_program(plan_arguments(place));
  ASSERT_EQ(result.code, 0) << result.err;
  for (const auto* said : {"parameters   ", "tokens       12 steps of 128 tokens: 1.54 k", "operations   ", "memory       ",
                           "disk         ", "speed        ", "time         "})
    EXPECT_NE(result.out.find(said), std::string::npos) << said << " in\n" << result.out;
  EXPECT_TRUE(fs::exists(place("run/plan.json")));
}

TEST(PlanCommand, ComparesAfterTheRun) {
  const Workplace place;
  ASSERT_EQ(run_program(plan_arguments(place)).code, 0);
  ASSERT_EQ(place.train({"train.steps=7"}).code, 0);
  const auto result = run_program("plan " + place("run") + " --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("the plan was made with train.steps = 12; the run has 7"), std::string::npos) << result.err;
  const auto json = last_json(result);
  EXPECT_EQ(json["steps"], 12);
  EXPECT_EQ(json["measured"]["steps"], 7);
  EXPECT_EQ(json["measured"]["tokens"], 7 * 128);
  EXPECT_EQ(json["measured"]["ended"], "done");
  const auto table = run_program("plan " + place("run")).out;
  EXPECT_NE(table.find("The run after 7 of 12 steps (ended: done)"), std::string::npos) << table;
  EXPECT_NE(table.find("planned    measured  difference"), std::string::npos) << table;
}

TEST(PlanCommand, PlansAnewForARunThatWasNotPlanned) {
  const Workplace place;
  ASSERT_EQ(place.train().code, 0);
  const auto result = run_program("plan " + place("run") + " --steps 1");
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find("holds no plan from before the run"), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("measured"), std::string::npos) << result.out;
  EXPECT_FALSE(fs::exists(place("run/plan.json")));
}

TEST(PlanCommand, NeedsNeitherDataNorCalibration) {
  const Workplace place;
  const auto result = run_program("plan " + place("run.toml") + " --steps 0 --no-save --set data.train=none.tokens");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out.find("tokens/s"), std::string::npos) << result.out;
  EXPECT_FALSE(fs::exists(place("run")));
}

TEST(PlanCommand, RefusesInOneLine) {
  const Workplace place;
  expect_error(run_program(plan_arguments(place, "--set train.stepz=3")), 2, {"train.stepz"});
  expect_error(run_program(plan_arguments(place, "--set train.context=65")), 3, {"64 positions"});
  expect_error(run_program(plan_arguments(place, "--set model.config=none.json")), 3, {"none.json"});
  expect_error(run_program("plan " + place("data")), 3, {"config.toml"});
  ASSERT_EQ(place.train().code, 0);
  put(place("run/plan.json"), "{\"format\": 2}");
  expect_error(run_program("plan " + place("run")), 3, {"plan.json: format 2"});
}

}  // namespace
}  // namespace isotrope

// checkpoint.archive: weights that a run keeps for looking at its course later.
#include "isotrope/base/error.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/observe/archive_config.h"
#include "tests/train/small_run.h"

namespace isotrope {
namespace {

using Steps = std::vector<std::int64_t>;

TEST(ArchiveSchedule, LiesAtEveryNthStepOrAtEqualRatios) {
  EXPECT_EQ(parse_archive_schedule("every:5").count(17), 3);
  EXPECT_EQ(parse_archive_schedule("log:9").count(4), 4);
  EXPECT_EQ(parse_archive_schedule("loss:3,2").count(4), 2);
  EXPECT_EQ(parse_archive_schedule("log:5").log_steps(10000), (Steps{1, 10, 100, 1000, 10000}));
  EXPECT_EQ(parse_archive_schedule("log:1").log_steps(700), Steps{700});
  EXPECT_EQ(parse_archive_schedule("log:9").log_steps(4), (Steps{1, 2, 3, 4}));
  for (const std::int64_t count : {2, 7, 12, 30, 64})
    for (const std::int64_t steps : {64, 65, 100, 1000, 123457}) {
      const auto found = parse_archive_schedule("log:" + std::to_string(count)).log_steps(steps);
      ASSERT_EQ(found.size(), static_cast<std::size_t>(count));
      EXPECT_EQ(found.front(), 1);
      EXPECT_EQ(found.back(), steps);
      EXPECT_TRUE(std::ranges::is_sorted(found, std::less_equal{})) << count << ' ' << steps;
    }
  EXPECT_EQ(parse_archive_schedule("loss:2,3.5,3").losses, (std::vector<double>{3.5, 3, 2}));
  EXPECT_EQ(parse_archive_schedule("").kind, ArchiveSchedule::Kind::never);
  for (const std::string text :
       {"never", "every:", "every:0", "every:x", "log:-1", "log:2,3", "loss:", "loss:a", "loss:1,,2", "loss:nan", "every", "log:10001"})
    EXPECT_THROW(parse_archive_schedule(text), UsageError) << text;
}

class Archived : public test::SmallRun {
 protected:
  static Steps archive(const RunConfig& c) {
    Steps steps;
    for (const auto& [step, folder] : step_folders(fs::path(c.run.folder) / "archive"))
      steps.insert(steps.begin(), static_cast<std::int64_t>(step));
    return steps;
  }
};

TEST_F(Archived, HoldsModelsOfTheStepsAndNoOptimizer) {
  auto c = config("run");
  c.checkpoint.archive = "log:4", c.checkpoint.every = 1, c.checkpoint.keep = 0;
  train(c);
  EXPECT_EQ(archive(c), (Steps{1, 2, 5, 12}));
  const fs::path run = c.run.folder;
  for (const auto step : archive(c)) {
    const auto name = "step-" + std::to_string(step);
    EXPECT_EQ(read_file(run / "archive" / name / "model.safetensors", "test"),
              read_file(run / "checkpoints" / name / "model.safetensors", "test"));
    EXPECT_FALSE(fs::exists(run / "archive" / name / "optimizer.safetensors"));
  }
  EXPECT_EQ(load_model(run / "archive/step-2")->shape().layers, 2);
  EXPECT_EQ(load_tokenizer(run / "archive/step-2")->fingerprint(), byte_tokenizer()->fingerprint());
  EXPECT_EQ(records(run, "archive").size(), 4u);
  EXPECT_EQ(newest_checkpoint(run)->parent_path().filename(), "checkpoints");
}

TEST_F(Archived, ByLossKeepsTheFirstStepAtWhichItIsReachedAlsoAcrossAResume) {
  auto c = config("whole", 40), parts = config("parts", 40);
  for (auto* one : {&c, &parts}) one->checkpoint.archive = "loss:5,4,3,0.01", one->checkpoint.every = 8;
  train(c);
  // The running mean that docs/config.md speaks of, from the record: the first step at which it is at or below each value.
  double mean = 0, weight = 0;
  std::map<double, std::int64_t> first;
  for (const auto& record : records(c.run.folder, "step")) {
    mean += 0.1 * (record["loss"].get<double>() - mean), weight += 0.1 * (1 - weight);
    for (const double value : {5.0, 4.0, 3.0})
      if (mean / weight <= value) first.try_emplace(value, record["step"].get<std::int64_t>());
  }
  Steps expected;
  for (const auto& [value, step] : first) expected.insert(expected.begin(), step);
  ASSERT_GE(expected.size(), 2u);
  expected.erase(std::unique(expected.begin(), expected.end()), expected.end());
  EXPECT_EQ(archive(c), expected);

  struct Crash : test::Watcher {
    void after_update(const StepView& view) override {
      if (view.step == 30) throw WorkError("test", "crash");
    }
  } crash;
  EXPECT_THROW(train(parts, {.observers = {&crash}}), WorkError);
  // What lies behind the checkpoint belongs to steps that are taken anew.
  create_folders(fs::path(parts.run.folder) / "archive/step-29", "test");
  train(parts, {.resume = true});
  EXPECT_EQ(archive(parts), expected);
}

TEST_F(Archived, ThoseOfStepsThatAResumeUndoesGoEvenIfItArchivesNothing) {
  auto c = config("undone");
  c.checkpoint.archive = "every:3";
  struct Crash : test::Watcher {
    void after_update(const StepView& view) override {
      if (view.step == 9) throw WorkError("test", "crash");
    }
  } crash;
  EXPECT_THROW(train(c, {.observers = {&crash}}), WorkError);
  EXPECT_EQ(archive(c), (Steps{3, 6, 9}));
  c.checkpoint.archive = "", c.train.steps = 7;
  train(c, {.resume = true});
  EXPECT_EQ(archive(c), Steps{3});  // the newest checkpoint is that of step 5
}

TEST_F(Archived, AStateThatIsNoneIsRefusedByItsFile) {
  auto c = config("hostile");
  c.checkpoint.archive = "loss:1";
  train(c);
  const auto file = newest_checkpoint(c.run.folder).value() / "train_state.json";
  c.train.steps = 14;
  for (const auto& [pointer, value] : std::vector<std::pair<std::string, nlohmann::json>>{
           {"/observers/archive/mean", "x"}, {"/observers/archive", nlohmann::json::array({1})}, {"/observers", 3}}) {
    auto state = nlohmann::json::parse(read_file(file, "test"));
    const auto good = state.dump();
    state[nlohmann::json::json_pointer(pointer)] = value;
    write_file(file, state.dump(), "test");
    EXPECT_THROW(train(c, {.resume = true}), InputError) << pointer;
    write_file(file, good, "test");
  }
}

}  // namespace
}  // namespace isotrope

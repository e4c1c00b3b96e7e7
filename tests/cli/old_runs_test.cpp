// tests/data/runs: folders that earlier versions left, each with the weights that the same version went on to.
//   first  before update rules and [observe] had names: 8 steps, and the weights after 12; its config.toml has the former names
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

class OldRun : public testing::Test {
 protected:
  OldRun() { fs::copy(fs::path(ISOTROPE_TEST_SOURCE) / "data/runs/first", folder_.path() / "first", fs::copy_options::recursive); }
  std::string operator()(const std::string& name) const { return (folder_ / "first" / name).string(); }
  /// Paths in the configuration are relative to where the run was begun.
  std::string settings() const {
    return " --set run.folder=" + (*this)("run") + " --set model.config=" + (*this)("model.json") +
           " --set data.train=" + (*this)("data/train.tokens") + " --set data.validation=" + (*this)("data/train.tokens");
  }
  TemporaryFolder folder_;
};

TEST_F(OldRun, GoesOnToTheWeightsThatItsOwnVersionWentOnTo) {
  const auto result = run_program("train " + (*this)("run/config.toml") + " --resume --set train.steps=12" + settings());
  ASSERT_EQ(result.code, 0) << result.err;
  for (const auto* name : {"eval.every is called observe.evaluation", "log.weights_every is called observe.weights"})
    EXPECT_EQ(count_lines(result.err, "warning: [config] " + (*this)("run/config.toml") + ": " + name), 1u) << result.err;
  EXPECT_EQ(records(folder_ / "first/run", "eval").size(), 3u);  // every four steps, as the former key has it
  // Another processor rounds otherwise: 1e-3 of weights of .02 is far below what a step moves, 1e-2.
  const auto diff = run_program("diff " + (*this)("run") + " " + (*this)("expected") + " --tolerance 1e-3");
  EXPECT_EQ(diff.code, 0) << diff.out;
}

TEST_F(OldRun, IsPlannedAgainstItsOldPlanAndRefusedUnderAnotherRule) {
  const auto plan = run_program("plan " + (*this)("run") + settings() + " --json");
  EXPECT_EQ(plan.code, 0) << plan.err;
  const auto refused =
      run_program("train " + (*this)("run/config.toml") + " --resume --set train.steps=12 --set optimizer.name=muon" + settings());
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("was trained with optimizer.name = adamw"), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace isotrope

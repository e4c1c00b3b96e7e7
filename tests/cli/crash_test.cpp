// A run that is killed, interrupted or out of disk, as its user sees it: nothing earlier is lost, and --resume goes on as if nothing had
// been.
#include <sys/mount.h>

#include <cstdio>
#include <random>

#include "isotrope/io/safetensors.h"
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

std::size_t log_size(const fs::path& run) {
  std::error_code absent;
  const auto size = fs::file_size(run / "run.jsonl", absent);
  return absent ? 0 : size;
}

/// Every folder that could be taken for a checkpoint is whole.
void expect_whole_checkpoints(const fs::path& run) {
  const auto newest = newest_checkpoint(run);
  if (!newest) return;
  EXPECT_NO_THROW(SafetensorsFile(*newest / "model.safetensors"));
  EXPECT_NO_THROW(SafetensorsFile(*newest / "optimizer.safetensors"));
  if (fs::exists(*newest / "masters.safetensors")) EXPECT_NO_THROW(SafetensorsFile(*newest / "masters.safetensors"));
  EXPECT_TRUE(nlohmann::json::accept(slurp(*newest / "train_state.json")));
  EXPECT_TRUE(fs::exists(*newest / "tokenizer.json"));
}

void expect_same_losses(const fs::path& a, const fs::path& b) {
  const auto first = records(a, "step"), second = records(b, "step");
  ASSERT_EQ(first.size(), second.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i]["step"], second[i]["step"]) << i;
    EXPECT_EQ(first[i]["loss"], second[i]["loss"]) << i;
  }
}

void expect_no_leftovers(const fs::path& run) {
  for (const auto& folder : {run, run / "checkpoints", run / "archive"}) {
    if (!fs::exists(folder)) continue;  // a run that ended early has archived nothing
    for (const auto& name : names_in(folder)) {
      EXPECT_EQ(name.find(".partial-"), std::string::npos) << folder << ' ' << name;
      EXPECT_EQ(name.find(".replaced-"), std::string::npos) << folder << ' ' << name;
    }
  }
}

/// Whether a checkpoint is being written whose `file` has begun.
bool writes(const fs::path& run, const std::string& file) {
  if (!fs::exists(run / "checkpoints")) return false;
  for (const auto& name : names_in(run / "checkpoints"))
    if (name.find(".partial-") != std::string::npos && fs::exists(run / "checkpoints" / name / file)) return true;
  return false;
}

/// Kills a run of 60 steps six times, each time after it has gone on by a random stretch, or while it writes `file`; then lets it finish.
void kill_again_and_again(const std::string& precision, unsigned seed, const std::vector<std::string>& settings = {},
                          const std::string& file = "") {
  const Workplace place;
  std::vector<std::string> common{"train.steps=60", "train.precision=" + precision, "checkpoint.archive=loss:5,4.5,4,3.5,3",
                                  "observe.weights=7"};
  common.insert(common.end(), settings.begin(), settings.end());
  auto whole = common, parts = common;
  whole.insert(whole.end(), {"run.folder=" + place("whole"), "checkpoint.every=0"});
  parts.insert(parts.end(), {"run.folder=" + place("parts"), "checkpoint.every=1"});
  ASSERT_EQ(place.train(whole).code, 0);
  const auto run = place / "parts";
  std::mt19937 random(seed);
  int killed = 0;
  for (int i = 0; i < 6; ++i) {
    const auto before = log_size(run);
    Process process(place, place.train_arguments(parts, before > 0 ? "--resume" : ""));
    process.wait_until([&] { return log_size(run) > before; });
    if (file.empty()) std::this_thread::sleep_for(std::chrono::microseconds(random() % 120000));
    else process.wait_until([&] { return writes(run, file); });
    process.signal(SIGKILL);
    killed += process.wait().code == -1;
    expect_whole_checkpoints(run);
  }
  EXPECT_GE(killed, 3) << "the run ended before it could be killed: nothing was tested";
  const auto last = place.train(parts, "--resume");
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_TRUE(state_of(run) == state_of(place / "whole")) << precision << ", kills with seed " << seed;
  expect_same_losses(run, place / "whole");
  expect_no_leftovers(run);
  EXPECT_EQ(records(run, "weights"), records(place / "whole", "weights"));
  const auto archived = names_in(run / "archive");
  EXPECT_EQ(archived, names_in(place / "whole/archive"));
  EXPECT_FALSE(archived.empty());
  EXPECT_EQ(fs::exists(newest_checkpoint(run).value() / "masters.safetensors"), !file.empty());
  for (const auto& name : archived)
    EXPECT_TRUE(slurp(run / "archive" / name / "model.safetensors") == slurp(place / "whole/archive" / name / "model.safetensors")) << name;
  const auto diff = run_program("diff " + place("parts") + " " + place("whole") + " --tolerance 0");
  EXPECT_EQ(diff.code, 0) << diff.out << diff.err;
}

TEST(KilledRunSlow, GoesOnToTheSameBitsInFp32) { kill_again_and_again("fp32", 1); }
TEST(KilledRunSlow, GoesOnToTheSameBitsInBf16) { kill_again_and_again("bf16", 2); }
TEST(KilledRunSlow, GoesOnToTheSameBitsUnderMuon) { kill_again_and_again("bf16", 3, {"optimizer.name=muon"}); }
TEST(KilledRunSlow, GoesOnToTheSameBitsUnderSpectra) { kill_again_and_again("fp32", 4, {"optimizer.name=spectra"}); }
TEST(KilledRunSlow, GoesOnToTheSameBitsWhileItWritesMastersOfMultipliers) {
  kill_again_and_again("bf16", 5, {R"(multipliers.rows=["*.weight"])", R"(multipliers.columns=["*.mlp.*.weight"])"}, "masters.safetensors");
}

TEST(KilledRunSlow, BeforeItsFirstCheckpointStartsAgainFromStepZero) {
  const Workplace place(gpt2_json);
  const std::vector<std::string> long_run{"train.steps=200", "checkpoint.every=0"};
  Process process(place, place.train_arguments(long_run));
  ASSERT_TRUE(process.wait_until([&] { return has_steps(place / "run", 2); }));
  process.signal(SIGKILL);
  ASSERT_EQ(process.wait().code, -1);
  const auto resumed = place.train(long_run, "--resume");
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  auto whole = long_run;
  whole.push_back("run.folder=" + place("whole"));
  ASSERT_EQ(place.train(whole).code, 0);
  EXPECT_TRUE(state_of(place / "run") == state_of(place / "whole"));
  expect_same_losses(place / "run", place / "whole");
}

/// A polite signal: the step is finished and saved, the log says so, and the run goes on to the bits of an undisturbed one.
void interrupt_with(int signal) {
  const Workplace place;
  const std::vector<std::string> common{"train.steps=300", "checkpoint.every=0"};
  Process process(place, place.train_arguments(common));
  ASSERT_TRUE(process.wait_until([&] { return has_steps(place / "run", 3); }));
  process.signal(signal);
  const auto stopped = process.wait();
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_EQ(count_lines(stopped.err, "error"), 0u) << stopped.err;
  EXPECT_EQ(count_lines(stopped.err, "stopped: [train]"), 1u) << stopped.err;
  EXPECT_NE(stopped.err.find("--resume"), std::string::npos) << stopped.err;
  const auto end = records(place / "run", "end");
  ASSERT_EQ(end.size(), 1u);
  EXPECT_EQ(end.back()["reason"], "interrupted");
  const auto last_step = records(place / "run", "step").back()["step"].get<int>();
  ASSERT_LT(last_step, 300) << "the run ended before the signal: nothing was tested";
  EXPECT_EQ(newest_checkpoint(place / "run")->filename(), "step-" + std::to_string(last_step));
  EXPECT_NE(stopped.err.find("step-" + std::to_string(last_step)), std::string::npos) << stopped.err;

  const auto resumed = place.train(common, "--resume");
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  auto whole = common;
  whole.push_back("run.folder=" + place("whole"));
  ASSERT_EQ(place.train(whole).code, 0);
  EXPECT_TRUE(state_of(place / "run") == state_of(place / "whole"));
  EXPECT_EQ(records(place / "run", "end").back()["reason"], "done");
}

TEST(InterruptedRunSlow, SavesOnCtrlCAndGoesOnToTheSameBits) { interrupt_with(SIGINT); }
TEST(InterruptedRunSlow, SavesOnTerminateAndGoesOnToTheSameBits) { interrupt_with(SIGTERM); }

TEST(InterruptedRunSlow, EndsAtOnceOnTheSecondSignal) {
  const Workplace place;
  // One step of many small parts: long enough that the first signal cannot have ended it.
  Process process(place, place.train_arguments({"train.batch_size=60000", "train.micro_batch_size=4"}));
  ASSERT_TRUE(process.wait_until([&] { return process.err_holds("parameters, "); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  process.signal(SIGINT);
  ASSERT_TRUE(process.wait_until([&] { return process.err_holds("stopping after this step"); }));
  const auto begun = std::chrono::steady_clock::now();
  process.signal(SIGINT);
  const auto result = process.wait();
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
  EXPECT_TRUE(records(place / "run", "step").empty());
}

TEST(FullDiskSlow, DuringACheckpointLeavesTheEarlierOnesAndTheRunGoesOnLater) {
  const Workplace place;
  ASSERT_EQ(place.train({"train.steps=10"}).code, 0);
  const auto before = state_of(place / "run");
  const auto checkpoint = newest_checkpoint(place / "run").value();
  const auto limit = fs::file_size(checkpoint / "optimizer.safetensors") / 2;
  ASSERT_GT(limit, log_size(place / "run") * 2);  // so that the limit meets the checkpoint, not the log
  Process process(place, place.train_arguments({"train.steps=20"}, "--resume"), limit);
  const auto failed = process.wait();
  expect_error(failed, 1, {".safetensors", "cannot write", place("run")});
  EXPECT_EQ(names_in(place / "run/checkpoints"), (std::vector<std::string>{"step-10", "step-5"}));
  EXPECT_TRUE(state_of(place / "run") == before);
  EXPECT_EQ(records(place / "run", "end").back()["reason"], "failed");
  const auto eval = run_program("eval " + place("run") + " --data " + place("data/validation.tokens") + " --threads 1 --json");
  EXPECT_EQ(eval.code, 0) << eval.err;

  EXPECT_EQ(place.train({"train.steps=20"}, "--resume").code, 0);
  ASSERT_EQ(place.train({"train.steps=20", "run.folder=" + place("whole")}).code, 0);
  EXPECT_TRUE(state_of(place / "run") == state_of(place / "whole"));
  expect_same_losses(place / "run", place / "whole");
}

TEST(FullDiskSlow, DuringTheLogEndsTheRunWithOneLineAndKeepsWhatWasLogged) {
  const Workplace place;
  Process process(place, place.train_arguments({"train.steps=200", "checkpoint.every=0"}), 8192);
  expect_error(process.wait(), 1, {"run.jsonl", place("run")});
  EXPECT_GE(records(place / "run", "step").size(), 5u);
}

/// A file system of its own, as small as wished; empty path when this process may not mount one.
class SmallDisk {
 public:
  SmallDisk(const fs::path& path, const std::string& size) {
    fs::create_directories(path);
    if (::mount("tmpfs", path.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0) path_ = path;
  }
  SmallDisk(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (mounted()) ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return !path_.empty(); }

 private:
  fs::path path_;
};

TEST(FullDiskSlow, OfARealFileSystemLeavesTheLastCheckpointWhole) {
  const Workplace place;
  const SmallDisk disk(place / "disk", "512k");
  if (!disk.mounted()) {
    std::puts("note: this process may not mount a tmpfs; the file-size limit alone stands for the full disk");
    return;
  }
  const auto run = place / "disk/run";
  const auto failed = place.train({"run.folder=" + run.string(), "train.steps=100", "checkpoint.every=1", "checkpoint.keep=0"});
  expect_error(failed, 1, {run.string(), "No space left on device"});
  ASSERT_TRUE(newest_checkpoint(run));
  expect_whole_checkpoints(run);
  expect_no_leftovers(run);
  const auto eval = run_program("eval " + run.string() + " --data " + place("data/validation.tokens") + " --threads 1");
  EXPECT_EQ(eval.code, 0) << eval.err;
}

TEST(SharedRunFolderSlow, TheSecondProcessIsTurnedAwayAndTheFirstGoesOn) {
  const Workplace place;
  Process first(place, place.train_arguments({"train.steps=100000", "checkpoint.every=0"}));
  ASSERT_TRUE(first.wait_until([&] { return has_steps(place / "run", 1); }));
  expect_error(place.train({"train.steps=100000"}, "--resume"), 1, {place("run"), "another process", "pid "});
  expect_error(place.train(), 3, {place("run"), "holds a run already"});
  first.signal(SIGINT);
  EXPECT_EQ(first.wait().code, 130);
  expect_whole_checkpoints(place / "run");
}

}  // namespace
}  // namespace isotrope

#include "isotrope/runlog/reader.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/runlog/export.h"
#include "isotrope/runlog/run_log.h"

namespace isotrope {
namespace {

using nlohmann::json;

json record(const std::string& type, int step) { return {{"type", type}, {"step", step}}; }

std::vector<json> effective(const std::vector<json>& log) {
  RunHistory history;
  for (const auto& each : log) history.add(each);
  return history.records();
}

struct ReaderFolder {
  fs::path path = fs::path(testing::TempDir()) / ("run_reader_" + std::to_string(::getpid()));
  ReaderFolder() { fs::remove_all(path), fs::create_directories(path); }
  ~ReaderFolder() { fs::remove_all(path); }
};

const json run{{"type", "run"}, {"format", 1}};

TEST(RunHistory, ResumeDropsTheStepsThatAreTakenAgain) {
  const auto records = effective({run, record("step", 1), record("step", 2), record("eval", 2), record("checkpoint", 2), record("step", 3),
                                  record("skip", 3), record("sample", 3), record("resume", 2), record("step", 3)});
  EXPECT_EQ(records, (std::vector<json>{run, record("step", 1), record("step", 2), record("eval", 2), record("checkpoint", 2),
                                        record("resume", 2), record("step", 3)}));
}

TEST(RunHistory, KeepsTheHistoryOfItsSessions) {
  const auto records = effective({run, record("step", 5), record("end", 5), record("resume", 5), record("step", 6), record("resume", 0)});
  EXPECT_EQ(records, (std::vector<json>{run, record("end", 5), record("resume", 5), record("resume", 0)}));
}

TEST(RunHistory, RecordsWithoutAStepStay) {
  const json warning{{"type", "warning"}, {"message", "m"}};
  EXPECT_EQ(effective({run, warning, record("resume", 0)}).size(), 3u);
}

RC_GTEST_PROP(RunHistory, EveryStepRecordWasWrittenAfterTheLastResumeBelowIt, ()) {
  const ReaderFolder folder;
  const auto kinds = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 7));
  std::vector<json> log{run};
  for (const int kind : kinds) {
    constexpr const char* types[] = {"step", "step", "eval", "checkpoint", "sample", "skip", "resume"};
    log.push_back(record(types[kind], *rc::gen::inRange(0, 12)));
    log.back()["id"] = log.size();
  }
  std::ofstream file(folder.path / "run.jsonl");
  for (const auto& each : log) file << each.dump() << '\n';
  file.close();
  // The definition, said backwards: a record is effective unless a later resume lies below its step.
  std::vector<json> expected;
  for (std::size_t i = 0; i < log.size(); ++i) {
    bool undone = false;
    for (std::size_t j = i + 1; j < log.size(); ++j)
      undone |= log[j]["type"] == "resume" && log[i]["type"] != "resume" && log[i].contains("step") && log[i]["step"] > log[j]["step"];
    if (!undone) expected.push_back(log[i]);
  }
  RC_ASSERT(read_run_log(folder.path).records == expected);
}

TEST(RunLogReader, FollowsAGrowingFileByteByByte) {
  const ReaderFolder folder;
  std::string whole = run.dump() + "\n";
  for (int step = 1; step <= 4; ++step) whole += record("step", step).dump() + "\n";
  std::ofstream file(folder.path / "run.jsonl");
  RunLogReader reader(folder.path);
  std::vector<json> seen;
  std::size_t written = 0;
  for (const char c : whole) {
    file.put(c).flush();
    ++written;
    const auto fresh = reader.next();
    ASSERT_EQ(fresh.size(), c == '\n' ? 1u : 0u);
    ASSERT_EQ(reader.torn(), c != '\n');
    seen.insert(seen.end(), fresh.begin(), fresh.end());
    if (c == '\n') {
      ASSERT_EQ(reader.position(), written);
    }
  }
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_EQ(seen[4]["step"], 4);
}

TEST(RunLogReader, ABudgetDividesALongLogWithoutLosingALine) {
  const ReaderFolder folder;
  std::ofstream file(folder.path / "run.jsonl");
  file << run.dump() << '\n';
  for (int step = 1; step <= 3000; ++step) {
    auto each = record("step", step);
    each["text"] = std::string(static_cast<std::size_t>(step % 50 == 0 ? 20000 : step % 7), 'x');  // some longer than a block
    file << each.dump() << '\n';
  }
  file.close();
  RunLogReader reader(folder.path);
  int expected = 0, batches = 0;
  for (auto batch = reader.next(1000); !batch.empty(); batch = reader.next(1000), ++batches)
    for (const auto& each : batch) {
      ASSERT_EQ(each.value("step", 0), expected);
      ++expected;
    }
  EXPECT_EQ(expected, 3001);
  EXPECT_GT(batches, 100);
  EXPECT_EQ(reader.position(), fs::file_size(folder.path / "run.jsonl"));
}

TEST(RunLogReader, AFileThatBecameShorterIsAnotherRun) {
  const ReaderFolder folder;
  RunLog::open(folder.path).append(record("step", 1));
  RunLogReader reader(folder.path);
  EXPECT_EQ(reader.next().size(), 2u);
  fs::resize_file(folder.path / "run.jsonl", 10);
  EXPECT_THROW(reader.next(), InputError);
}

TEST(RunLogCsv, HasOneRowAStepAndTheColumnsOfStepAndEval) {
  const auto text = csv_text({run,
                              {{"type", "step"}, {"step", 2}, {"loss", 1.5}, {"lr", 0.001}},
                              {{"type", "eval"}, {"step", 2}, {"nll", 1.25}},
                              {{"type", "step"}, {"step", 1}, {"loss", "nan"}},
                              {{"type", "warning"}, {"step", 1}, {"message", "not a curve"}}});
  EXPECT_EQ(text, "step,loss,lr,eval.nll\n1,nan,,\n2,1.5,0.001,1.25\n");
}

TEST(RunLogCsv, QuotesWhatWouldBreakACell) {
  const auto text = csv_text({{{"type", "step"}, {"step", 1}, {"a,b", "say \"hi\",\nthere"}, {"list", {1, 2}}, {"none", nullptr}}});
  EXPECT_EQ(text, "step,\"a,b\",list,none\n1,\"say \"\"hi\"\",\nthere\",\"[1,2]\",\n");
}

TEST(RunLogCsv, ExportsTheEffectiveRecordsToAFile) {
  const ReaderFolder folder;
  auto log = RunLog::open(folder.path);
  log.append({{"type", "step"}, {"step", 1}, {"loss", 3}});
  log.append({{"type", "step"}, {"step", 2}, {"loss", 4}});
  log.append(record("resume", 1));
  export_csv(folder.path, folder.path / "out.csv");
  EXPECT_EQ(read_file(folder.path / "out.csv", "test"), "step,loss\n1,3\n");
}

}  // namespace
}  // namespace isotrope

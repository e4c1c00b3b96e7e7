#include "isotrope/runlog/run_log.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/runlog/reader.h"

namespace isotrope {
namespace {

using nlohmann::json;

/// A folder of its own for every test, removed afterwards.
class RunLogTest : public testing::Test {
 protected:
  RunLogTest() : folder(fs::path(testing::TempDir()) / ("run_log_" + std::to_string(::getpid()))) {
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  ~RunLogTest() override { fs::remove_all(folder); }

  fs::path file() const { return folder / "run.jsonl"; }
  std::string text() const { return read_file(file(), "test"); }
  void put(const std::string& content) const { std::ofstream(file(), std::ios::binary) << content; }

  const fs::path folder;
};

/// The message of the InputError that reading throws, or "" when it throws none.
std::string refusal(const fs::path& path) {
  try {
    read_run_log(path);
  } catch (const InputError& error) {
    return error.message();
  }
  return "";
}

const std::string header = "{\"type\":\"run\",\"format\":1}\n";

TEST_F(RunLogTest, BeginsWithWhatWroteIt) {
  RunLog::open(folder);
  const auto [records, torn] = read_run_log(folder);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_FALSE(torn);
  EXPECT_EQ(records[0]["type"], "run");
  EXPECT_EQ(records[0]["format"], run_log_format);
  EXPECT_TRUE(records[0]["version"].is_string() && records[0]["commit"].is_string());
  EXPECT_EQ(records[0]["started"].get<std::string>().size(), std::string("2026-11-22T07:13:54Z").size());
}

TEST_F(RunLogTest, AppendsToWhatIsThere) {
  RunLog::open(folder).append({{"type", "step"}, {"step", 1}, {"loss", 2.5}});
  RunLog::open(folder).append({{"type", "end"}, {"step", 1}, {"reason", "done"}});
  const auto records = read_run_log(file()).records;
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[1], (json{{"type", "step"}, {"step", 1}, {"loss", 2.5}}));
  EXPECT_EQ(records[2]["reason"], "done");
}

TEST_F(RunLogTest, PutsTypeAndStepFirstOnOneLine) {
  RunLog::open(folder).append({{"loss", 1.5}, {"a", "two\nlines"}, {"step", 7}, {"type", "step"}});
  const std::string all = text();
  EXPECT_EQ(all.substr(all.find('\n') + 1), "{\"type\":\"step\",\"step\":7,\"a\":\"two\\nlines\",\"loss\":1.5}\n");
}

TEST_F(RunLogTest, NonFiniteNumbersComeBackAsTheyWere) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  RunLog::open(folder).append({{"type", "step"}, {"step", 1}, {"loss", std::nan("")}, {"norms", {inf, -inf, 1e-300}}});
  const auto record = read_run_log(folder).records.at(1);
  EXPECT_EQ(record["loss"], "nan");
  EXPECT_TRUE(std::isnan(number_of(record["loss"])));
  EXPECT_EQ(number_of(record["norms"][0]), inf);
  EXPECT_EQ(number_of(record["norms"][1]), -inf);
  EXPECT_EQ(number_of(record["norms"][2]), 1e-300);
  EXPECT_THROW(number_of("Inf"), InputError);
  EXPECT_THROW(number_of(json()), InputError);
}

TEST_F(RunLogTest, TextThatIsNotUtf8IsStillWritten) {
  RunLog::open(folder).append({{"type", "sample"}, {"text", "caf\xe9"}});
  EXPECT_EQ(read_run_log(folder).records.at(1)["text"], "caf\xef\xbf\xbd");
}

TEST_F(RunLogTest, RefusesToWriteWhatReadersWouldRefuse) {
  auto log = RunLog::open(folder);
  EXPECT_THROW(log.append({{"step", 1}}), InputError);
  EXPECT_THROW(log.append({{"type", 3}}), InputError);
  EXPECT_THROW(log.append(json::array({1})), InputError);
  EXPECT_THROW(log.append({{"type", "step"}, {"step", -1}}), InputError);
  EXPECT_THROW(log.append({{"type", "step"}, {"step", 1.5}}), InputError);
  EXPECT_EQ(read_run_log(folder).records.size(), 1u);
}

TEST_F(RunLogTest, ALogCutAtAnyByteReadsAsItsWholeLinesAndCanBeContinued) {
  {
    auto log = RunLog::open(folder);
    for (int step = 1; step <= 3; ++step) log.append({{"type", "step"}, {"step", step}, {"note", "a{b\"c"}});
  }
  const std::string whole = text();
  const auto all = read_run_log(folder).records;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    put(whole.substr(0, size));
    const auto lines = static_cast<std::size_t>(std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size), '\n'));
    const auto cut = read_run_log(folder);
    ASSERT_EQ(cut.records, std::vector<json>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(lines))) << size;
    ASSERT_EQ(cut.torn, size > 0 && whole[size - 1] != '\n') << size;
    RunLog::open(folder).append({{"type", "resume"}, {"step", 3}});
    const auto continued = read_run_log(folder);
    ASSERT_FALSE(continued.torn) << size;
    ASSERT_EQ(continued.records.size(), std::max<std::size_t>(lines, 1) + 1) << size;  // a torn first record is written anew
    ASSERT_EQ(continued.records.back()["type"], "resume") << size;
  }
}

TEST_F(RunLogTest, ZerosAfterAPowerLossAreATornLine) {
  put(header + "{\"type\":\"step\",\"step\":1}\n" + std::string(5000, '\0'));
  EXPECT_TRUE(read_run_log(folder).torn);
  RunLog::open(folder).append({{"type", "resume"}, {"step", 1}});
  EXPECT_EQ(read_run_log(folder).records.size(), 3u);
}

TEST_F(RunLogTest, AProcessKilledWhileItWritesLeavesAReadableLog) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto log = RunLog::open(folder);
    for (int step = 1;; ++step) log.append({{"type", "step"}, {"step", step}, {"text", std::string(997, 'x')}});
  }
  for (int wait = 0; wait < 1000 && (!fs::exists(file()) || fs::file_size(file()) < 100000); ++wait)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const auto [records, torn] = read_run_log(folder);
  ASSERT_GT(records.size(), 90u);
  for (std::size_t i = 1; i < records.size(); ++i) ASSERT_EQ(records[i]["step"], i);
}

TEST_F(RunLogTest, ADiskThatFillsIsAnErrorThatNamesTheFileAndLeavesTheRecordBefore) {
  auto log = RunLog::open(folder);
  log.append({{"type", "step"}, {"step", 1}});
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{fs::file_size(file()) + 10, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  std::string message;
  try {
    log.append({{"type", "step"}, {"step", 2}});
  } catch (const WorkError& error) {
    message = error.message();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find(file().string() + ": cannot write"), std::string::npos) << message;
  EXPECT_FALSE(read_run_log(folder).torn);
  log.append({{"type", "step"}, {"step", 2}});
  EXPECT_EQ(read_run_log(folder).records.size(), 3u);
}

TEST_F(RunLogTest, ABrokenLineInTheMiddleIsNamedByItsNumber) {
  put(header + "{\"type\":\"step\",\"step\":1}\n{\"type\":\"st\n{\"type\":\"end\"}\n");
  EXPECT_NE(refusal(folder).find("run.jsonl: line 3 is not a JSON object"), std::string::npos) << refusal(folder);
  put(header + "[1]\n");
  EXPECT_NE(refusal(folder).find("line 2 is not a JSON object"), std::string::npos);
  put(header + "{\"step\":1}\n");
  EXPECT_NE(refusal(folder).find("line 2 has no type"), std::string::npos);
  for (const auto* step : {"-1", "1.5", "\"1\"", "18446744073709551615"}) {
    put(header + "{\"type\":\"step\",\"step\":" + step + "}\n");
    EXPECT_NE(refusal(folder).find("line 2: expected a step"), std::string::npos) << step;
  }
  put(header + "{\"type\":\"resume\"}\n");
  EXPECT_NE(refusal(folder).find("a resume record needs its step"), std::string::npos);
  put(header + "{\"type\":\"x\",\"deep\":" + std::string(100000, '[') + std::string(100000, ']') + "}\n");
  EXPECT_NE(refusal(folder).find("nests deeper"), std::string::npos);
}

TEST_F(RunLogTest, NewerFormatsAndOtherFilesAreRefusedAndNotTouched) {
  for (const std::string content :
       {"{\"type\":\"run\",\"format\":2}\n", "{\"type\":\"step\",\"step\":1}\n", "hello\n", "hello, no newline"}) {
    put(content);
    EXPECT_NE(refusal(folder), "") << content;
    EXPECT_THROW(RunLog::open(folder), InputError) << content;
    EXPECT_EQ(text(), content);
  }
  put("{\"type\":\"run\",\"format\":2}\n");
  EXPECT_NE(refusal(folder).find("format 2, this program reads up to 1"), std::string::npos) << refusal(folder);
  EXPECT_THROW(read_run_log(folder / "absent"), InputError);
  EXPECT_THROW(RunLog::open(folder / "absent"), WorkError);
  EXPECT_THROW(read_run_log("/dev/null"), InputError);
}

}  // namespace
}  // namespace isotrope

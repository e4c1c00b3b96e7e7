// isotrope watch and isotrope report as a user runs them.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "isotrope/base/file.h"
#include "isotrope/runlog/records.h"
#include "isotrope/runlog/run_log.h"
#include "tests/app/program.h"
#include "tests/io/temporary_folder.h"
#include "tests/report/client.h"

namespace isotrope {
namespace {

using nlohmann::json;
using test::run_program;
using test::TemporaryFolder;

void make_run(const fs::path& folder, int steps) {
  fs::create_directories(folder);
  auto log = RunLog::open(folder);
  for (int step = 1; step <= steps; ++step) log.append({{"type", "step"}, {"step", step}, {"loss", 4.0 / step}, {"seconds", 0.1 * step}});
}

/// `isotrope watch --json …` in a process of its own; its first line of stdout is read.
class Watching {
 public:
  explicit Watching(const std::vector<std::string>& arguments) {
    int channel[2];
    if (::pipe(channel) != 0) return;
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(channel[1], STDOUT_FILENO);
      std::vector<char*> argv{const_cast<char*>(ISOTROPE_TEST_PROGRAM), const_cast<char*>("watch"), const_cast<char*>("--json"),
                              const_cast<char*>("--quiet")};
      for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(channel[1]);
    std::string line;
    for (char c = 0; ::read(channel[0], &c, 1) == 1 && c != '\n';) line += c;
    ::close(channel[0]);
    started = json::parse(line, nullptr, false);
  }
  ~Watching() {
    if (child_ > 0) ::kill(child_, SIGKILL), wait_for_end();
  }
  /// The exit code after SIGINT; −1 when it does not end within five seconds.
  int interrupt() {
    ::kill(child_, SIGINT);
    int status = 0;
    for (int i = 0; i < 500; ++i) {
      if (::waitpid(child_, &status, WNOHANG) == child_) {
        child_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return -1;
  }

  json started;

 private:
  void wait_for_end() { ::waitpid(child_, nullptr, 0); }
  pid_t child_ = -1;
};

TEST(WatchCommand, ServesUntilCtrlC) {
  const TemporaryFolder folder;
  make_run(folder / "a", 3);
  Watching watch({(folder / "a").string(), "--port", "0"});
  ASSERT_TRUE(watch.started.is_object());
  const int port = watch.started["port"];
  EXPECT_EQ(watch.started["url"], "http://127.0.0.1:" + std::to_string(port) + "/");
  EXPECT_EQ(test::status_of(test::get(port, "/")), 200);
  test::RawClient listener(port);  // an open stream must not hold the program up
  listener.send("GET /api/news HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n\r\n");
  EXPECT_EQ(watch.interrupt(), 0);
}

TEST(WatchCommand, ForOtherMachinesATokenIsMadeUp) {
  const TemporaryFolder folder;
  make_run(folder / "a", 3);
  Watching watch({folder.path().string(), "--port", "0", "--host", "127.0.0.1"});
  ASSERT_TRUE(watch.started.is_object());
  const int port = watch.started["port"];
  const std::string url = watch.started["url"];
  const auto token = url.substr(url.find("token=") + 6);
  EXPECT_EQ(token.size(), 32u);
  EXPECT_EQ(test::status_of(test::get(port, "/api/runs")), 401);
  EXPECT_EQ(test::status_of(test::get(port, "/api/runs?token=" + token)), 200);
}

TEST(WatchCommand, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  make_run(folder / "a", 1);
  const auto run = (folder / "a").string();
  EXPECT_EQ(run_program("watch " + run + "/none").code, 3);
  EXPECT_EQ(run_program("watch").code, 2);
  EXPECT_EQ(run_program("watch " + run + " --token short").code, 2);
  EXPECT_EQ(run_program("watch " + run + " --host no.such.name.invalid").code, 2);
  Watching other({run, "--port", "0"});
  const auto busy = run_program("watch " + run + " --port " + other.started["port"].dump());
  EXPECT_EQ(busy.code, 2);
  EXPECT_NE(busy.err.find("hint: --port 0 takes any free port"), std::string::npos) << busy.err;
}

TEST(ReportCommand, WritesPageCsvAndEvents) {
  const TemporaryFolder folder;
  make_run(folder / "a", 3);
  make_run(folder / "b", 5);
  const auto a = (folder / "a").string(), b = (folder / "b").string(), to = folder.path().string();
  const auto both = run_program("report --json " + a + " " + b + " -o " + to + "/x.html --tensorboard " + to + "/events");
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_NE(read_file(folder / "x.html", "test").find("<!doctype html>"), std::string::npos);
  EXPECT_FALSE(fs::is_empty(folder / "events/a"));
  EXPECT_FALSE(fs::is_empty(folder / "events/b"));
  EXPECT_EQ(json::parse(both.out)["runs"], 2);
  EXPECT_EQ(run_program("report " + a + " --csv " + to + "/a.csv").code, 0);
  EXPECT_EQ(read_file(folder / "a.csv", "test"), "step,loss,seconds\n1,4.0,0.1\n2,2.0,0.2\n3,1.3333333333333333,0.30000000000000004\n");
}

TEST(ReportCommand, NamesTheFilesOfTablesAndSpectraToo) {
  const TemporaryFolder folder;
  make_run(folder / "a", 3);
  auto log = RunLog::open(folder / "a");
  log.append(table_record(3, "anisotropy", {{"resid_post.0", 0.5}}));
  const auto a = (folder / "a").string(), to = folder.path().string();
  const auto written = [&] { return json::parse(run_program("report --json " + a + " --csv " + to + "/x.csv").out)["written"]; };
  EXPECT_EQ(written(), (json{to + "/x.csv", to + "/x.tables.csv"}));
  log.append(spectrum_record(3, "gradient", "w", std::vector<double>{2, 1}));
  EXPECT_EQ(written(), (json{to + "/x.csv", to + "/x.tables.csv", to + "/x.spectra.csv"}));
  EXPECT_EQ(read_file(folder / "x.tables.csv", "test"), "step,table,row,value\n3,anisotropy,resid_post.0,0.5\n");
}

TEST(ReportCommand, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  make_run(folder / "a", 1);
  make_run(folder / "b", 1);
  const auto a = (folder / "a").string();
  EXPECT_EQ(run_program("report " + a).code, 2);
  EXPECT_EQ(run_program("report " + folder.path().string() + " --csv " + a + "/x.csv").code, 2);
  EXPECT_EQ(run_program("report " + a + "/none -o " + a + "/x.html").code, 3);
  std::ofstream(folder / "a/run.jsonl", std::ios::app) << "{}\n";
  const auto broken = run_program("report " + a + " -o " + a + "/x.html");
  EXPECT_EQ(broken.code, 3);
  EXPECT_NE(broken.err.find("line 3 has no type"), std::string::npos) << broken.err;
  EXPECT_FALSE(fs::exists(folder / "a/x.html"));
}

}  // namespace
}  // namespace isotrope

#include "isotrope/report/watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/report/report.h"
#include "isotrope/report/views.h"
#include "isotrope/runlog/records.h"
#include "isotrope/runlog/run_log.h"
#include "tests/io/temporary_folder.h"
#include "tests/report/client.h"

namespace isotrope {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::body_of;
using test::get;
using test::RawClient;
using test::status_of;
using test::TemporaryFolder;

const std::string secret = "what no client may see";

json step_record(int step) {
  return {{"type", "step"},      {"step", step},          {"loss", 5.0 / step},
          {"tokens", 64 * step}, {"seconds", 0.5 * step}, {"tokens_per_second", 128}};
}

/// A run folder with `steps` records beside a file that is nobody's business, and a server that watches it from a thread of its own.
class WatchTest : public testing::Test {
 protected:
  void serve(int steps = 10, const std::string& token = "", HttpServer::Options http = {}) {
    write_file(folder / "secret.txt", secret, "test");
    fs::create_directories(folder / "run-1");
    write_file(folder / "run-1/config.toml", "[train]\nsteps = 100\n", "test");
    write_file(folder / "run-1/other.txt", secret, "test");
    log.emplace(RunLog::open(folder / "run-1"));
    for (int step = 1; step <= steps; ++step) log->append(step_record(step));
    runs = std::make_unique<RunSet>(std::vector<fs::path>{folder / "run-1"}, false);
    while (runs->refresh()) {}
    server = std::make_unique<WatchServer>(*runs, WatchServer::Options{.http = http, .token = token});
    port = server->port();
    thread = std::thread([this] { server->run([this] { return !stop; }); });
  }
  ~WatchTest() override {
    stop = true;
    if (thread.joinable()) thread.join();
  }
  json ask(const std::string& target) const { return json::parse(body_of(get(port, target))); }

  const TemporaryFolder folder;
  std::optional<RunLog> log;
  std::unique_ptr<RunSet> runs;
  std::unique_ptr<WatchServer> server;
  std::atomic<bool> stop = false;
  std::thread thread;
  int port = 0;
};

TEST_F(WatchTest, ServesThePageAndItsFiles) {
  serve();
  EXPECT_NE(body_of(get(port, "/")).find("<!doctype html>"), std::string::npos);
  const std::map<std::string, std::string> types = {
      {"main.js", "text/javascript"}, {"style.css", "text/css"}, {"uPlot.iife.min.js", "text/javascript"}, {"icon.svg", "image/svg+xml"}};
  for (const auto& [name, type] : types) {
    const auto response = get(port, "/" + name);
    EXPECT_EQ(status_of(response), 200) << name;
    EXPECT_NE(response.find("Content-Type: " + type), response.npos) << name;
  }
  EXPECT_EQ(status_of(get(port, "/nothing.js")), 404);
}

TEST_F(WatchTest, TellsWhatTheRunHasSaid) {
  serve();
  const auto all = ask("/api/runs");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0]["name"], "run-1");
  EXPECT_EQ(all[0]["status"], "running");
  EXPECT_EQ(all[0]["step"], 10);
  EXPECT_EQ(all[0]["latest"]["loss"], 0.5);
  const auto series = ask("/api/series?run=0&keys=loss")["series"];
  EXPECT_EQ(series.size(), 1u);
  EXPECT_EQ(series["loss"]["value"].size(), 10u);
  EXPECT_EQ(series["loss"]["tokens"][9], 640);
  EXPECT_EQ(series["loss"]["seconds"][1], 1.0);
  const auto part = ask("/api/series?run=0&keys=loss&axis=seconds&from=1.5&to=2.5")["series"]["loss"];
  EXPECT_EQ(part["step"], (json{3, 4, 5, 6}));  // one more on either side
  EXPECT_EQ(body_of(get(port, "/api/config?run=0")), "[train]\nsteps = 100\n");
  for (const auto* run : {"1", "-1", "x", "", "999999999999999999999"})
    EXPECT_EQ(status_of(get(port, std::string("/api/series?run=") + run)), 404) << run;
}

TEST_F(WatchTest, AFollowerThatMergesHasWhatANewcomerGets) {
  serve(900);
  auto mine = ask("/api/series?run=0&keys=loss&buckets=100");
  std::map<int, double> merged;
  const auto take = [&](const json& answer) {
    const auto& series = answer["series"]["loss"];
    merged.erase(merged.lower_bound(series["from_step"].get<int>()), merged.end());
    for (std::size_t i = 0; i < series["step"].size(); ++i) merged[series["step"][i]] = series["value"][i];
  };
  take(mine);
  int step = 900;
  for (const int count : {1, 7, 60, 700}) {  // the last makes the buckets twice as long
    for (int i = 0; i < count; ++i) log->append(step_record(++step));
    json later;
    do later = ask("/api/series?run=0&keys=loss&buckets=100&since=" + mine["through"].dump());
    while (later["through"] != step);
    take(later);
    mine = later;
    const auto whole = ask("/api/series?run=0&keys=loss&buckets=100");
    std::map<int, double> fresh;
    for (std::size_t i = 0; i < whole["series"]["loss"]["step"].size(); ++i)
      fresh[whole["series"]["loss"]["step"][i]] = whole["series"]["loss"]["value"][i];
    EXPECT_EQ(merged, fresh) << step;
    EXPECT_LE(fresh.size(), 500u);
  }
}

TEST_F(WatchTest, AFollowerGetsTheEvaluationOfAStepThatItKnowsAlready) {
  serve();
  log->append({{"type", "eval"}, {"step", 5}, {"nll", 2.0}});
  while (ask("/api/series?run=0")["series"].size() < 5) {}
  EXPECT_EQ(ask("/api/series?run=0")["through"], 10);
  log->append({{"type", "eval"}, {"step", 10}, {"nll", 1.5}});
  json series;
  do series = ask("/api/series?run=0&keys=eval.nll")["series"]["eval.nll"];
  while (series["step"].size() < 2);
  EXPECT_EQ(ask("/api/series?run=0&keys=eval.nll&since=10")["series"]["eval.nll"]["value"], json{1.5});
}

TEST_F(WatchTest, TablesAndSpectraAreListedAndAskedForByName) {
  serve();
  for (const int step : {2, 4, 6}) {
    log->append(table_record(step, "anisotropy", {{"resid_post.0", 0.25 * step}, {"resid_post.1", step == 4 ? std::nan("") : -0.5}}));
    log->append(spectrum_record(step, "gradient", "model.layers.0.w & b", std::vector<double>{1.0 * step, 0.123456789}));
  }
  log->append(table_record(5, "anisotropy", {{"resid_post.1", 3.0}}));
  while (ask("/api/runs")[0]["records"] != 18) {}
  const auto listed = ask("/api/runs")[0];
  EXPECT_EQ(listed["tables"], (json{{"anisotropy", 2}}));
  EXPECT_EQ(listed["spectra"], (json{{"gradient", {"model.layers.0.w & b"}}}));
  EXPECT_FALSE(listed.contains("matrices"));
  const auto table = ask("/api/table?run=0&name=anisotropy");
  EXPECT_EQ(table["names"], (json{"resid_post.0", "resid_post.1"}));
  EXPECT_EQ(table["step"], (json{2, 4, 5, 6}));
  EXPECT_EQ(table["tokens"], (json{128, 256, 320, 384}));
  EXPECT_EQ(table["values"], (json{{0.5, 1, nullptr, 1.5}, {-0.5, nullptr, 3, -0.5}}));
  const auto thin = ask("/api/table?run=0&name=anisotropy&columns=2");
  EXPECT_EQ(thin["step"], (json{4, 6}));
  EXPECT_EQ(thin["values"], (json{{1, 1.5}, {nullptr, -0.5}}));
  const auto spectrum = ask("/api/spectrum?run=0&name=gradient&row=model.layers.0.w%20%26%20b");
  EXPECT_EQ(spectrum["step"], (json{2, 4, 6}));
  EXPECT_EQ(spectrum["seconds"], (json{1, 2, 3}));
  EXPECT_EQ(spectrum["values"], (json{{2, 0.12346}, {4, 0.12346}, {6, 0.12346}}));
  EXPECT_EQ(ask("/api/table?run=0&name=nothing")["names"], json::array());
  EXPECT_EQ(ask("/api/spectrum?run=0&name=gradient&row=nothing")["values"], json::array());
  EXPECT_EQ(status_of(get(port, "/api/table?run=1&name=anisotropy")), 404);
  EXPECT_EQ(status_of(get(port, "/api/matrices?run=0")), 404);
}

TEST_F(WatchTest, ASpectrumIsThinnedOverStepsButForItsFirstAndItsNewest) {
  serve();
  for (int step = 1; step <= 500; ++step) log->append(spectrum_record(step, "s", "w", std::vector<double>{1.0 * step}));
  while (ask("/api/runs")[0]["records"] != 511) {}
  for (const int frames : {2, 3, 60, 499, 500}) {
    const auto spectrum = ask("/api/spectrum?run=0&name=s&row=w&frames=" + std::to_string(frames));
    EXPECT_LE(spectrum["step"].size(), static_cast<std::size_t>(frames));
    EXPECT_GE(2 * spectrum["step"].size() + 2, static_cast<std::size_t>(frames));
    EXPECT_EQ(spectrum["values"].front(), json{1});
    EXPECT_EQ(spectrum["values"].back(), json{500});
    EXPECT_EQ(spectrum["step"].back(), 500);
  }
}

TEST_F(WatchTest, TheMatricesOfAnOldLogAreATable) {
  serve();
  log->append({{"type", "weights"}, {"step", 5}, {"rms", {{"matrix", 0.5}}}, {"matrices", {{"layers.0.x", 0.5}, {"layers.1.x", 0.25}}}});
  while (ask("/api/runs")[0]["records"] != 12) {}
  EXPECT_EQ(ask("/api/runs")[0]["tables"], (json{{"weight_rms", 2}}));
  EXPECT_EQ(ask("/api/table?run=0&name=weight_rms")["values"], (json{{0.5}, {0.25}}));
}

TEST_F(WatchTest, NewsOfARecordArriveWithinASecond) {
  serve();
  RawClient listener(port);
  listener.send("GET /api/news HTTP/1.1\r\nHost: localhost:" + std::to_string(port) + "\r\n\r\n");
  const auto first = listener.receive(5s, [](const std::string& text) { return text.find("data: ") != text.npos; });
  EXPECT_NE(first.find("text/event-stream"), first.npos);
  EXPECT_NE(first.find("data: [[0,11]]"), first.npos) << first;
  log->append(step_record(11));
  const auto begin = std::chrono::steady_clock::now();
  const auto news = listener.receive(5s, [](const std::string& text) { return text.find("]]") != text.npos; });
  EXPECT_EQ(news, "data: [[0,12]]\n\n");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
}

TEST_F(WatchTest, OnlyItsOwnHostNamesAreAnswered) {
  serve();
  const auto own = ":" + std::to_string(port);
  for (const auto& host : {"127.0.0.1" + own, "localhost" + own, "[::1]" + own})
    EXPECT_EQ(status_of(get(port, "/api/runs", "", host)), 200) << host;
  const std::vector<std::string> others = {"127.0.0.1",   "evil.example" + own,    "127.0.0.1.evil.example" + own,
                                           "localhost:1", "localhost" + own + "x", "x@localhost" + own,
                                           ":",           "127.0.0.1" + own + own};
  for (const auto& host : others) EXPECT_EQ(status_of(get(port, "/api/runs", "", host)), 421) << host;
}

TEST_F(WatchTest, WithATokenNobodyElseGetsAnything) {
  serve(10, "a-good-token");
  for (const auto* target : {"/", "/main.js", "/api/runs", "/api/news", "/?token=", "/?token=a-good-toke", "/?token=a-good-tokens"})
    EXPECT_EQ(status_of(get(port, target)), 401) << target;
  EXPECT_EQ(status_of(get(port, "/api/runs", "Authorization: Bearer a-good-token\r\n")), 200);
  EXPECT_EQ(status_of(get(port, "/api/runs", "Authorization: Bearer bad-token\r\n")), 401);
  const auto welcome = get(port, "/?token=a-good-token", "", "any.name:80");
  EXPECT_EQ(status_of(welcome), 303);
  EXPECT_NE(welcome.find("HttpOnly; SameSite=Strict"), welcome.npos);
  const auto cookie = fmt::format("Cookie: other=1; isotrope_token_{}=a-good-token\r\n", port);
  EXPECT_EQ(status_of(get(port, "/", cookie)), 200);
  EXPECT_NE(server->url().find("?token=a-good-token"), std::string::npos);
}

/// One request of the thousand: seeded, so that a failure can be repeated.
std::string hostile_request(std::mt19937& random, int port) {
  const auto pick = [&](const auto& list) { return std::string(list[random() % std::size(list)]); };
  static constexpr const char* paths[] = {"/../secret.txt",
                                          "/../../etc/passwd",
                                          "/%2e%2e/secret.txt",
                                          "/..%2fsecret.txt",
                                          "/....//secret.txt",
                                          "/run-1/other.txt",
                                          "/api/config?run=0/../..",
                                          "/api/config?run=../../secret.txt",
                                          "/api/config?run=0%00../secret.txt",
                                          "//etc/passwd",
                                          "/\\..\\secret.txt",
                                          "/api/../secret.txt",
                                          "/index.html/../secret.txt",
                                          "/proc/self/environ",
                                          "/api/series?run=0&keys=../secret.txt",
                                          "/api/samples?run=0&file=/etc/passwd",
                                          "/api/table?run=0&name=../secret.txt&columns=-1",
                                          "/api/spectrum?run=0&name=%ff&row=../secret.txt&frames=1e9",
                                          "/config.toml",
                                          "/run.jsonl",
                                          "/api/series?run=0&buckets=-1&from=nan&to=1e999&since=1e300",
                                          "/api/series?run=0&axis=%ff%fe",
                                          "/"};
  static constexpr const char* methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "get", "G\x01T", ""};
  static constexpr const char* versions[] = {"HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/3", "ICY", ""};
  static constexpr const char* hosts[] = {"evil.example", "", "127.0.0.1", "localhost:1\r\nHost: localhost:2", "[", "\xff\xff"};
  const auto garbage = [&](std::size_t count) {
    std::string bytes(count, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    return bytes;
  };
  const std::string good_host = "Host: 127.0.0.1:" + std::to_string(port) + "\r\n";
  switch (random() % 8) {
    case 0: return garbage(1 + random() % 3000);
    case 1: return pick(methods) + " " + pick(paths) + " " + pick(versions) + "\r\n" + good_host + "\r\n";
    case 2: return "GET " + pick(paths) + " HTTP/1.1\r\nHost: " + pick(hosts) + "\r\n\r\n";
    case 3: return "GET " + pick(paths) + " HTTP/1.1\r\n" + good_host + "X: " + std::string(random() % 60000, 'h') + "\r\n\r\n";
    case 4: return "GET /" + std::string(random() % 60000, 'u') + " HTTP/1.1\r\n" + good_host + "\r\n";
    case 5: return "GET " + pick(paths) + " HTTP/1.1\r\n" + good_host + "Content-Length: 99999999999\r\n\r\n" + garbage(200);
    case 6: {
      const auto whole = "GET " + pick(paths) + " HTTP/1.1\r\n" + good_host + "Accept-Encoding: gzip\r\n\r\n";
      return whole.substr(0, random() % whole.size());  // cut short, then hung up
    }
    default: {
      std::string many;
      for (int i = 0; i < 200; ++i) many += "GET " + pick(paths) + " HTTP/1.1\r\n" + good_host + "\r\n";  // far more than is read at once
      return many;
    }
  }
}

TEST_F(WatchTest, AThousandHostileRequestsReachNoFileAndBreakNothing) {
  serve();
  std::mt19937 random(20261122);
  std::map<int, int> statuses;
  for (int i = 0; i < 1000; ++i) {
    const auto request = hostile_request(random, port);
    RawClient client(port);
    ASSERT_TRUE(client.connected()) << i;
    client.send(request);
    client.hang_up();
    const auto answer = client.receive_all(5s);
    ++statuses[status_of(answer)];
    for (const auto* hidden : {secret.c_str(), "root:", "PATH=", "\"format\":1"})
      ASSERT_EQ(answer.find(hidden), answer.npos) << i << ": " << request;
    if (i % 100 == 0) {
      ASSERT_EQ(status_of(get(port, "/api/runs")), 200) << i;
    }
  }
  for (const int refused : {400, 404, 405, 413, 414, 421, 431, 505}) EXPECT_GT(statuses[refused], 0) << refused;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(status_of(get(port, "/api/runs")), 200);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
}

/// How long an answer may take while others ask for much. Instrumented code takes several times as long for the same.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr auto prompt_answer = 6s;
#else
constexpr auto prompt_answer = 1s;
#endif

TEST_F(WatchTest, FiftySlowClientsDelayNeitherTheOthersNorTheTraining) {
  serve(2000, "", {.request_deadline = 1500ms, .idle_deadline = 1500ms, .write_deadline = 1500ms});
  const std::string host = "Host: 127.0.0.1:" + std::to_string(port) + "\r\n";
  std::vector<RawClient> slow;
  for (int i = 0; i < 50; ++i) {
    slow.emplace_back(port, i % 2 ? 2048 : 0);
    // Half say a letter now and then, half ask for much and read nothing of it.
    if (i % 2 == 0) {
      slow.back().send("GET /api");
      continue;
    }
    for (int k = 0; k < 30; ++k) slow.back().send("GET /api/series?run=0 HTTP/1.1\r\n" + host + "\r\n");
  }
  auto slowest_answer = 0ns, slowest_record = 0ns;
  for (int i = 0; i < 40; ++i) {
    for (std::size_t k = 0; k < slow.size(); k += 2) slow[k].send("x");
    auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(status_of(get(port, "/api/runs")), 200);
    slowest_answer = std::max(slowest_answer, std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin));
    begin = std::chrono::steady_clock::now();
    log->append(step_record(2001 + i));  // what the trainer does
    slowest_record = std::max(slowest_record, std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin));
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_LT(slowest_answer, prompt_answer);
  EXPECT_LT(slowest_record, 500ms);
  // And none of them keeps its place.
  for (auto& client : slow) {
    client.receive_all(5s);
    EXPECT_TRUE(client.closed());
  }
}

TEST_F(WatchTest, TheOldestSilentConnectionMakesRoom) {
  serve(10, "", {.connections = 8});
  std::vector<RawClient> idle;
  for (int i = 0; i < 20; ++i) idle.emplace_back(port);
  EXPECT_EQ(status_of(get(port, "/api/runs")), 200);
  EXPECT_EQ(idle.front().receive_all(2s), "");
  EXPECT_TRUE(idle.front().closed());
}

TEST_F(WatchTest, OneConnectionServesManyRequests) {
  serve();
  RawClient client(port);
  const auto request = "HEAD /api/runs HTTP/1.1\r\nHost: localhost:" + std::to_string(port) + "\r\n\r\n";
  client.send(request + request + request);
  const auto answers = client.receive(5s, [](const std::string& text) {
    std::size_t count = 0;
    for (auto at = text.find("\r\n\r\n"); at != text.npos; at = text.find("\r\n\r\n", at + 4)) ++count;
    return count == 3;
  });
  EXPECT_FALSE(client.closed());
  EXPECT_EQ(answers.find("[{"), answers.npos);  // heads only
}

// ---- runs that appear, vanish and break -------------------------------------------------------------------------------

TEST(RunSet, FindsRunsInFoldersAndNamesThemApart) {
  const TemporaryFolder folder;
  for (const auto* path : {"a/run", "b/run", "c"}) {
    fs::create_directories(folder / path);
    RunLog::open(folder / path);
  }
  RunSet runs({folder.path(), folder / "c"}, false);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ((std::set<std::string>{runs.name(0), runs.name(1), runs.name(2)}), (std::set<std::string>{"a/run", "b/run", "c"}));
  fs::create_directories(folder / "d");
  EXPECT_FALSE(runs.find_new());
  RunLog::open(folder / "d");
  EXPECT_TRUE(runs.find_new());
  EXPECT_EQ(runs.name(3), "d");
  EXPECT_THROW(RunSet({folder / "none"}, true), InputError);
  fs::create_directories(folder / "empty");
  EXPECT_THROW(RunSet({folder / "empty"}, false), InputError);
  EXPECT_EQ(RunSet({folder / "empty"}, true).size(), 0u);
}

TEST(RunSet, FollowsALogThatIsTornVanishesAndComesBack) {
  const TemporaryFolder folder;
  auto log = RunLog::open(folder.path());
  log.append(step_record(1));
  FollowedRun run(folder.path());
  EXPECT_TRUE(run.refresh());
  EXPECT_FALSE(run.refresh());
  EXPECT_EQ(run.curves().last_step(), 1u);
  const auto path = folder / "run.jsonl";
  std::ofstream(path, std::ios::app) << R"({"type":"step","step":2,)";  // half a line
  EXPECT_FALSE(run.refresh());
  std::ofstream(path, std::ios::app) << "\"loss\":1}\n";
  EXPECT_TRUE(run.refresh());
  EXPECT_EQ(run.curves().last_step(), 2u);

  const auto edition = run.edition();
  fs::remove(path);
  EXPECT_TRUE(run.refresh());
  EXPECT_EQ(run.status(), "missing");
  EXPECT_EQ(run.curves().last_step(), 2u);  // what was seen stays
  RunLog::open(folder.path()).append(step_record(7));
  EXPECT_TRUE(run.refresh());
  EXPECT_EQ(run.curves().last_step(), 7u);
  EXPECT_GT(run.edition(), edition);
  EXPECT_EQ(run.status(), "running");
}

TEST(RunSet, SaysWhatIsWrongWithALogAndRecovers) {
  const TemporaryFolder folder;
  auto log = RunLog::open(folder.path());
  log.append(step_record(1));
  FollowedRun run(folder.path());
  run.refresh();
  std::ofstream(folder / "run.jsonl", std::ios::app) << "nonsense\n";
  EXPECT_TRUE(run.refresh());
  EXPECT_NE(run.problem().find("line 3 is not a JSON object"), std::string::npos) << run.problem();
  EXPECT_FALSE(run.refresh());
  fs::resize_file(folder / "run.jsonl", 0);  // another run takes its place
  RunLog::open(folder.path()).append(step_record(2));
  EXPECT_TRUE(run.refresh());
  EXPECT_EQ(run.problem(), "");
  EXPECT_EQ(run.curves().curves().at("loss").steps, (std::vector<std::uint64_t>{2}));
}

TEST(RunSet, TheEndOfASessionCountsUntilTheRunGoesOn) {
  const TemporaryFolder folder;
  auto log = RunLog::open(folder.path());
  FollowedRun run(folder.path());
  for (const auto* reason : {"interrupted", "done"}) {
    log.append(step_record(1));
    log.append({{"type", "end"}, {"step", 1}, {"reason", reason}});
    run.refresh();
    EXPECT_EQ(run.status(), reason);
    log.append({{"type", "resume"}, {"step", 1}});
    run.refresh();
    EXPECT_EQ(run.status(), "running");
  }
}

TEST(RunSet, AConfigurationOutsideTheFolderIsNotShown) {
  const TemporaryFolder folder;
  write_file(folder / "secret.txt", secret, "test");
  fs::create_directories(folder / "run");
  RunLog::open(folder / "run");
  fs::create_symlink(folder / "secret.txt", folder / "run/config.toml");
  EXPECT_EQ(FollowedRun(folder / "run").config(), "");
  fs::remove(folder / "run/config.toml");
  write_file(folder / "run/config.toml", "x = 1\n", "test");
  EXPECT_EQ(FollowedRun(folder / "run").config(), "x = 1\n");
}

// ---- the report -------------------------------------------------------------------------------------------------------

TEST(Report, IsOneFileThatAsksForNothingAndIsTheSameEachTime) {
  const TemporaryFolder folder;
  const auto named = folder / "<img src=x onerror=alert(1)>";
  fs::create_directories(named);
  auto log = RunLog::open(named);
  log.append(step_record(1));
  log.append({{"type", "sample"}, {"step", 1}, {"prompt", "</script><img src=x onerror=alert(2)>"}, {"text", "<!--"}});
  log.append({{"type", "weights"}, {"step", 1}, {"rms", {{"matrix", 0.5}}}, {"matrices", {{"<b>layers.0.x", 0.5}}}});
  RunSet runs({folder.path()}, false);
  while (runs.refresh()) {}
  const auto page = report_html(runs);
  EXPECT_EQ(page, report_html(runs));
  for (const auto* absent : {"src=\"", "<link", "import {", "<img", "<!--", "<b>layers"}) EXPECT_EQ(page.find(absent), page.npos) << absent;
  std::size_t scripts = 0;
  for (auto at = page.find("</script>"); at != page.npos; at = page.find("</script>", at + 1)) ++scripts;
  EXPECT_EQ(scripts, 3u);  // the data, uPlot, the page's modules
  const auto begin = page.find("id=\"data\">") + 10, end = page.find("</script>", begin);
  const auto data = json::parse(page.substr(begin, end - begin));
  EXPECT_EQ(data["runs"][0]["status"], "unfinished");
  EXPECT_EQ(data["samples"][0][0]["text"], "<!--");
  EXPECT_EQ(data["series"][0]["series"]["loss"]["value"], json{5.0});
  EXPECT_EQ(data["tables"][0]["weight_rms"]["names"], json{"<b>layers.0.x"});
}

TEST(Report, SpectraOfManyRowsAndStepsTakeTwoMegabytesAtMost) {
  const TemporaryFolder folder;
  std::mt19937 random(7);
  const auto data_of = [&](int rows, int steps) {
    const auto place = folder / fmt::format("{}-{}", rows, steps);
    fs::create_directories(place);
    auto log = RunLog::open(place);
    std::vector<double> values(256);
    for (int step = 1; step <= steps; ++step)
      for (int row = 0; row < rows; ++row) {
        for (auto& value : values) value = step % 16 == 0 ? 0 : 1e-9 * random();  // what a look at few steps takes for short
        log.append(spectrum_record(step, "gradient", fmt::format("model.layers.{}.w", row), values));
      }
    RunSet runs({place}, false);
    while (runs.refresh()) {}
    const auto page = report_html(runs);
    const auto begin = page.find("id=\"data\">") + 10;
    return json::parse(page.substr(begin, page.find("</script>", begin) - begin))["spectra"];
  };
  const auto few = data_of(2, 60)[0]["gradient"]["model.layers.1.w"];
  EXPECT_EQ(few["step"].size(), 31u);
  EXPECT_EQ(few["values"][0].size(), 256u);
  for (const auto& [rows, steps, points] : {std::tuple{50, 128, 256u}, std::tuple{1000, 3, 64u}}) {
    const auto data = data_of(rows, steps);
    EXPECT_LE(data.dump().size(), 2'000'000u);
    EXPECT_GE(data.dump().size(), 500'000u);
    const auto one = data[0]["gradient"]["model.layers.49.w"];
    EXPECT_EQ(one["step"].front(), 1);
    EXPECT_EQ(one["step"].back(), steps);
    EXPECT_EQ(one["values"].back().size(), points);
  }
}

}  // namespace
}  // namespace isotrope

#include "isotrope/report/comparison.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "isotrope/base/file.h"
#include "isotrope/report/report.h"
#include "isotrope/report/views.h"
#include "isotrope/report/watch.h"
#include "isotrope/runlog/run_log.h"
#include "tests/io/temporary_folder.h"
#include "tests/report/client.h"

namespace isotrope {
namespace {

using nlohmann::json;
using test::body_of;
using test::get;
using test::RawClient;
using test::TemporaryFolder;

json small_comparison(const std::string& name = "adamw") {
  return {{"format", 1},
          {"axes", {{{"key", "optimizer.name"}, {"values", {name}}}}},
          {"seeds", {1}},
          {"reference", nullptr},
          {"runs",
           {{{"settings", {{"optimizer.name", name}}}, {"seed", 1}, {"folder", "runs/a"}, {"status", "running"}, {"final_nll", nullptr}}}},
          {"summary", {{{"settings", {{"optimizer.name", name}}}, {"runs", 1}, {"final_nll", nullptr}}}},
          {"best", json::array()}};
}

/// A folder of one run, as `isotrope compare` leaves it but for compare.json.
class ComparisonTest : public testing::Test {
 protected:
  ComparisonTest() {
    fs::create_directories(folder / "runs/a");
    RunLog::open(folder / "runs/a").append({{"type", "step"}, {"step", 1}, {"loss", 5.0}});
  }
  void put(const std::string& text) const { write_file(folder / "compare.json", text, "test"); }
  /// What is served once this text has been read.
  json served(const std::string& text) const {
    put(text);
    RunSet runs({folder.path()}, false);
    while (runs.refresh()) {}
    return json::parse(comparison_json(runs));
  }
  std::string problem_of(const std::string& text) const {
    const auto answer = served(text);
    return answer.is_object() ? answer.value("problem", "") : "";
  }

  const TemporaryFolder folder;
};

TEST_F(ComparisonTest, IsServedAndKnowsItsRuns) {
  put(small_comparison().dump(2));
  RunSet runs({folder.path()}, false);
  while (runs.refresh()) {}
  WatchServer server(runs, {});
  std::atomic<bool> stop = false;
  std::thread thread([&] { server.run([&] { return !stop; }); });
  EXPECT_EQ(json::parse(body_of(get(server.port(), "/api/compare"))), small_comparison());
  EXPECT_EQ(json::parse(body_of(get(server.port(), "/api/runs")))[0]["place"], "runs/a");
  stop = true;
  thread.join();
}

TEST_F(ComparisonTest, ASampleOfTheFormatIsRead) {
  const auto sample = read_file(fs::path(ISOTROPE_TEST_SOURCE) / "data/comparison/format-1.json", "test");
  EXPECT_EQ(served(sample), json::parse(sample));
}

TEST_F(ComparisonTest, RunsAreKnownHoweverTheFolderIsSpelled) {
  for (const auto& path : {folder.path() / "", folder.path() / ".", folder.path() / "runs/.."}) {
    RunSet runs({path}, false);
    EXPECT_EQ(runs.comparison().place_of(runs[0].folder()), "runs/a") << path;
  }
}

TEST_F(ComparisonTest, NewsTellOfEachChange) {
  RunSet runs({folder.path()}, false);
  while (runs.refresh()) {}
  WatchServer server(runs, {});
  std::atomic<bool> stop = false;
  std::thread thread([&] { server.run([&] { return !stop; }); });
  RawClient listener(server.port());
  const auto until = [&](const char* end) {
    return listener.receive(std::chrono::seconds(5), [&](const std::string& text) { return text.find(end) != text.npos; });
  };
  listener.send("GET /api/news HTTP/1.1\r\nHost: localhost:" + std::to_string(server.port()) + "\r\n\r\n");
  EXPECT_EQ(until("]]").find("event: compare"), std::string::npos);
  EXPECT_EQ(body_of(get(server.port(), "/api/compare")), "null");
  put(small_comparison().dump());
  EXPECT_EQ(until("]]"), "event: compare\ndata: 1\n\ndata: [[0,2]]\n\n");
  put(small_comparison("muon").dump());
  EXPECT_EQ(until("]]"), "event: compare\ndata: 2\n\ndata: [[0,2]]\n\n");
  EXPECT_EQ(json::parse(body_of(get(server.port(), "/api/compare"))), small_comparison("muon"));
  fs::remove(folder / "compare.json");
  EXPECT_EQ(until("]]"), "event: compare\ndata: 3\n\ndata: [[0,2]]\n\n");
  EXPECT_EQ(body_of(get(server.port(), "/api/compare")), "null");
  stop = true;
  thread.join();
}

TEST_F(ComparisonTest, OneThatIsBrokenForeignOrHugeIsNamedAndNotShown) {
  EXPECT_EQ(served(small_comparison().dump()), small_comparison());
  EXPECT_NE(problem_of("").find("compare.json"), std::string::npos);
  EXPECT_NE(problem_of(small_comparison().dump().substr(0, 100)).find("compare.json"), std::string::npos);
  EXPECT_NE(problem_of("[1, 2]").find("expected a JSON object"), std::string::npos) << problem_of("[1, 2]");
  EXPECT_NE(problem_of(R"({"name": "something else"})").find("\"format\""), std::string::npos);
  EXPECT_NE(problem_of(std::string(100'000, '[')).find("compare.json"), std::string::npos);
  auto newer = small_comparison();
  newer["format"] = 2;
  EXPECT_NE(problem_of(newer.dump()).find("is a comparison of format 2, this program reads up to 1"), std::string::npos)
      << problem_of(newer.dump());
  auto huge = small_comparison();
  huge["note"] = std::string(std::size_t{8} << 20, 'x');
  EXPECT_NE(problem_of(huge.dump()).find("more than the limit"), std::string::npos) << problem_of(huge.dump());
}

TEST_F(ComparisonTest, WhatThePageReliesOnIsCheckedAndNumbersMayBeMissing) {
  const auto broken = [&](const char* pointer, const json& value) {
    auto comparison = small_comparison();
    comparison[json::json_pointer(pointer)] = value;
    return problem_of(comparison.dump());
  };
  for (const auto* list : {"axes", "runs", "summary", "best"}) {
    auto without = small_comparison();
    without.erase(list);
    EXPECT_NE(problem_of(without.dump()).find(list), std::string::npos) << list;
    EXPECT_NE(broken((std::string("/") + list).c_str(), json::object()), "") << list;
    EXPECT_NE(broken((std::string("/") + list).c_str(), {1}), "") << list;
  }
  EXPECT_NE(broken("/runs/0/settings", 3).find("runs[0]: \"settings\""), std::string::npos) << broken("/runs/0/settings", 3);
  EXPECT_NE(broken("/runs/0/folder", nullptr), "");
  EXPECT_NE(broken("/axes/0/values", "all"), "");
  EXPECT_EQ(broken("/runs/0/final_nll", nullptr), "");
  EXPECT_EQ(broken("/runs/0/something_new", 1), "");
}

TEST_F(ComparisonTest, ALinkToAnotherFileAndAFolderAreNotRead) {
  write_file(folder / "elsewhere.json", small_comparison().dump(), "test");
  fs::create_symlink(folder / "elsewhere.json", folder / "compare.json");
  RunSet linked({folder.path()}, false);
  linked.refresh();
  EXPECT_EQ(linked.comparison().text(), "");
  EXPECT_NE(linked.comparison().problem(), "");
  fs::remove(folder / "compare.json");
  fs::create_directory(folder / "compare.json");
  EXPECT_TRUE(linked.refresh());
  EXPECT_NE(linked.comparison().problem(), "");
  EXPECT_FALSE(linked.refresh());
}

TEST_F(ComparisonTest, OfSeveralFoldersNoneIsShown) {
  put(small_comparison().dump());
  fs::create_directories(folder / "other");
  RunLog::open(folder / "other");
  RunSet runs({folder.path(), folder / "other"}, false);
  while (runs.refresh()) {}
  EXPECT_EQ(comparison_json(runs), "null");
}

TEST_F(ComparisonTest, AReportHoldsItAndItsNamesStayText) {
  const std::string hostile = "</script><img src=x onerror=alert(1)>";
  put(small_comparison(hostile).dump());
  RunSet runs({folder.path()}, false);
  while (runs.refresh()) {}
  const auto page = report_html(runs);
  EXPECT_EQ(page.find("<img"), page.npos);
  const auto begin = page.find("id=\"data\">") + 10;
  const auto data = json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  EXPECT_EQ(data["comparison"], small_comparison(hostile));
  EXPECT_EQ(data["runs"][0]["place"], "runs/a");
  put("{");
  EXPECT_TRUE(runs.refresh());
  EXPECT_NE(report_html(runs).find("{\"problem\":"), std::string::npos);
}

}  // namespace
}  // namespace isotrope

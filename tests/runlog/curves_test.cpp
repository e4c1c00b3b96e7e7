#include "isotrope/runlog/curves.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/runlog/downsample.h"
#include "isotrope/runlog/export.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/runlog/run_log.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using nlohmann::json;
using test::TemporaryFolder;

const double nan_value = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();

std::vector<std::size_t> kept_of(const std::vector<double>& values, std::size_t bucket) {
  return keep_extremes(values, 0, values.size(), bucket);
}

TEST(Downsample, KeepsFirstLastSmallestLargestAndGapOfABucket) {
  EXPECT_EQ(kept_of({5, 4, 1, nan_value, 9, 7, 6, 5}, 8), (std::vector<std::size_t>{0, 2, 3, 4, 7}));
  EXPECT_EQ(kept_of({1, 2, 3, 4, 5, 6, 7, 8}, 8), (std::vector<std::size_t>{0, 7}));
  EXPECT_EQ(kept_of({nan_value, nan_value, nan_value, nan_value, nan_value}, 8), (std::vector<std::size_t>{0, 4}));
  EXPECT_EQ(kept_of({1, infinity, 0, 3, 2}, 8), (std::vector<std::size_t>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(kept_of({}, 8).empty());
}

TEST(Downsample, BucketsAreTheSmallestPowerOfTwoThatIsFewEnough) {
  EXPECT_EQ(bucket_size(0, 10), 1u);
  EXPECT_EQ(bucket_size(10, 10), 1u);
  EXPECT_EQ(bucket_size(11, 10), 2u);
  EXPECT_EQ(bucket_size(100000, 800), 128u);
}

RC_GTEST_PROP(Downsample, TheExtremesOfAnyAlignedBucketSurvive, ()) {
  const auto values = *rc::gen::container<std::vector<double>>(
      rc::gen::map(rc::gen::inRange(-1000, 1000), [](int v) { return v == 7 ? nan_value : v / 8.0; }));
  const auto bucket = std::size_t{1} << *rc::gen::inRange(0, 7);
  const auto kept = kept_of(values, bucket);
  RC_ASSERT(std::ranges::is_sorted(kept, std::less_equal<>()) || kept.size() < 2);
  for (std::size_t from = 0; from < values.size(); from += bucket) {
    const auto to = std::min(values.size(), from + bucket);
    std::vector<double> all, chosen;
    for (std::size_t i = from; i < to; ++i)
      if (std::isfinite(values[i])) all.push_back(values[i]);
    for (const auto i : kept)
      if (i >= from && i < to && std::isfinite(values[i])) chosen.push_back(values[i]);
    RC_ASSERT(std::ranges::find(kept, from) != kept.end());
    RC_ASSERT(std::ranges::find(kept, to - 1) != kept.end());
    if (all.empty()) continue;
    RC_ASSERT(std::ranges::max(all) == std::ranges::max(chosen));
    RC_ASSERT(std::ranges::min(all) == std::ranges::min(chosen));
  }
}

RC_GTEST_PROP(Downsample, AGrownCurveKeepsThePointsOfItsFullBuckets, ()) {
  const auto values = *rc::gen::container<std::vector<double>>(rc::gen::arbitrary<double>());
  const auto bucket = std::size_t{1} << *rc::gen::inRange(0, 5);
  const auto earlier = *rc::gen::inRange<std::size_t>(0, values.size() + 1);
  const auto full = earlier / bucket * bucket;
  auto before = keep_extremes(values, 0, full, bucket);
  const auto added = keep_extremes(values, full, values.size(), bucket);
  before.insert(before.end(), added.begin(), added.end());
  RC_ASSERT(before == keep_extremes(values, 0, values.size(), bucket));
}

const std::string started_header = R"({"type":"run","format":1,"started":"2026-11-22T07:13:54Z"})";

RunCurves curves_of(const std::vector<std::string>& lines) {
  RunCurves curves;
  std::uint64_t number = 0;
  for (const auto& line : lines) curves.add_line(line, "log", ++number);
  return curves;
}

using Values = std::vector<double>;
using Steps = std::vector<std::uint64_t>;

TEST(RunCurves, HoldEveryNumberOfStepEvalAndWeightsRecords) {
  const auto curves = curves_of({started_header, R"({"type":"step","step":1,"loss":2.5,"lr":1e-05})",
                                 R"({"type":"step","step":2,"loss":"nan"})", R"({"type":"eval","step":2,"nll":2.25,"note":"x"})",
                                 R"({"type":"weights","step":2,"rms":{"matrix":0.02},"matrices":{"a.0.b.weight":0.021}})"});
  EXPECT_EQ(curves.curves().at("loss").steps, (Steps{1, 2}));
  EXPECT_EQ(curves.curves().at("loss").values[0], 2.5);
  EXPECT_TRUE(std::isnan(curves.curves().at("loss").values[1]));
  EXPECT_EQ(curves.curves().at("lr").values, (Values{1e-5}));
  EXPECT_EQ(curves.curves().at("eval.nll").values, (Values{2.25}));
  EXPECT_FALSE(curves.curves().contains("eval.note"));
  EXPECT_EQ(curves.curves().at("weights.matrix").values, (Values{0.02}));
  EXPECT_EQ(curves.tables().at("weight_rms").at("a.0.b.weight").values, (Values{0.021}));
  EXPECT_EQ(curves.records(), 5u);
  EXPECT_EQ(curves.last_step(), 2u);
}

TEST(RunCurves, AResumeUndoesWhatIsTakenAgainAndSaysSo) {
  auto curves =
      curves_of({started_header, R"({"type":"step","step":1,"loss":3,"tokens":10})", R"({"type":"step","step":2,"loss":2,"tokens":20})",
                 R"({"type":"sample","step":2,"prompt":"a","text":"b"})", R"({"type":"checkpoint","step":1,"path":"p"})"});
  EXPECT_EQ(curves.edition(), 0u);
  curves.add(json{{"type", "resume"}, {"step", 1}});
  EXPECT_EQ(curves.edition(), 1u);
  EXPECT_EQ(curves.curves().at("loss").steps, (Steps{1}));
  EXPECT_TRUE(curves.samples().empty());
  EXPECT_EQ(curves.events().size(), 3u);  // run, checkpoint, resume
  EXPECT_EQ(curves.last_step(), 1u);
  curves.add_line(R"({"type":"step","step":2,"loss":1.5,"tokens":20})", "log", 7);
  EXPECT_EQ(curves.curves().at("loss").values, (Values{3, 1.5}));
  EXPECT_EQ(curves.edition(), 1u);
  EXPECT_EQ(curves.position("tokens", 1), 10);
  EXPECT_EQ(curves.position("tokens", 5), 20);
  EXPECT_EQ(curves.position("tokens", 0), 0);
  EXPECT_EQ(curves.position("step", 5), 5);
}

TEST(RunCurves, ATableIsACurveARowAndASpectrumAListAStep) {
  auto curves = curves_of({started_header, R"({"type":"table","step":1,"name":"t","rows":{"a.1":0.5,"a.2":"-inf","note":"x","":1}})",
                           R"({"type":"table","step":2,"name":"t","rows":{"a.1":-0.25}})",
                           R"({"type":"spectrum","step":2,"name":"s","row":"w","values":[3,"inf",-1]})",
                           R"({"type":"spectrum","step":4,"name":"s","row":"w","values":[2]})"});
  const auto& table = curves.tables().at("t");
  EXPECT_EQ(table.size(), 2u);
  EXPECT_EQ(table.at("a.1").steps, (Steps{1, 2}));
  EXPECT_EQ(table.at("a.1").values, (Values{0.5, -0.25}));
  EXPECT_EQ(table.at("a.2").values, (Values{-infinity}));
  const auto& spectrum = curves.spectra().at("s").at("w");
  EXPECT_EQ(spectrum.steps, (Steps{2, 4}));
  EXPECT_EQ(spectrum.values, (std::vector<Values>{{3, infinity, -1}, {2}}));
  EXPECT_EQ(curves.edition(), 0u);
  curves.add_line(R"({"type":"spectrum","step":2,"name":"s","row":"w","values":[7,8]})", "log", 6);
  EXPECT_EQ(spectrum.values, (std::vector<Values>{{7, 8}, {2}}));
  EXPECT_EQ(curves.edition(), 1u);
  curves.add_line(R"({"type":"table","step":1,"name":"t","rows":{"a.1":9}})", "log", 7);
  EXPECT_EQ(table.at("a.1").values, (Values{9, -0.25}));
  EXPECT_EQ(curves.edition(), 2u);
}

TEST(RunCurves, AResumeUndoesRowsAndSpectraAndLeavesNoneEmpty) {
  auto curves =
      curves_of({started_header, R"({"type":"table","step":1,"name":"t","rows":{"a":1}})",
                 R"({"type":"table","step":2,"name":"t","rows":{"a":2,"b":2}})", R"({"type":"table","step":2,"name":"u","rows":{"a":2}})",
                 R"({"type":"spectrum","step":1,"name":"s","row":"w","values":[1]})",
                 R"({"type":"spectrum","step":2,"name":"s","row":"w","values":[2]})",
                 R"({"type":"spectrum","step":2,"name":"v","row":"w","values":[2]})", R"({"type":"resume","step":1})"});
  EXPECT_EQ(curves.edition(), 1u);
  EXPECT_EQ(curves.tables().size(), 1u);
  EXPECT_EQ(curves.tables().at("t").size(), 1u);
  EXPECT_EQ(curves.tables().at("t").at("a").values, (Values{1}));
  EXPECT_EQ(curves.spectra().size(), 1u);
  EXPECT_EQ(curves.spectra().at("s").at("w").values, (std::vector<Values>{{1}}));
  curves.add_line(R"({"type":"table","step":2,"name":"u","rows":{"a":3}})", "log", 9);
  EXPECT_EQ(curves.tables().at("u").at("a").values, (Values{3}));
  EXPECT_EQ(curves.edition(), 1u);
}

TEST(RunCurves, TablesAndSpectraThatAreNotAsTheyShouldBeArePassedOver) {
  std::string values = "1";
  for (int i = 1; i < 256; ++i) values += ",1";
  const auto of = [](const std::string& rest) { return curves_of({R"({"type":)" + rest + "}"}); };
  for (const auto* rest :
       {R"("table","step":1,"rows":{"a":1})", R"("table","step":1,"name":3,"rows":{"a":1})", R"("table","step":1,"name":"","rows":{"a":1})",
        R"("table","step":1,"name":"t")", R"("table","step":1,"name":"t","rows":[1,2])", R"("table","step":1,"name":"t","rows":"a")",
        R"("table","step":1,"name":"t","rows":{"a":[1],"b":null,"c":{"d":1},"e":true})", R"("table","step":1,"name":"t","rows":{})",
        R"("table","name":"t","rows":{"a":1})", R"("weights","step":1,"matrices":[1])"})
    EXPECT_TRUE(of(rest).tables().empty()) << rest;
  const std::string good = R"("spectrum","step":1,"name":"s","row":"w","values":)";
  for (const auto& rest :
       {std::string(R"("spectrum","step":1,"row":"w","values":[1])"), std::string(R"("spectrum","step":1,"name":"s","values":[1])"),
        std::string(R"("spectrum","step":1,"name":["s"],"row":{},"values":[1])"),
        std::string(R"("spectrum","step":1,"name":"s","row":"w")"), std::string(R"("spectrum","name":"s","row":"w","values":[1])"),
        good + "{}", good + R"({"0":1})", good + "1", good + R"("nan")", good + "[]", good + "[1,null]", good + "[1,[2]]",
        good + R"([1,"x"])", good + "[" + values + ",1]"})
    EXPECT_TRUE(of(rest).spectra().empty()) << rest;
  EXPECT_EQ(of(good + "[" + values + "]").spectra().at("s").at("w").values.at(0).size(), 256u);
  EXPECT_EQ(of(good + "1").records(), 1u);
}

/// What the general reader makes of the line, or its error.
std::string by_json(const std::string& line) {
  try {
    RunCurves curves;
    curves.add(parse_run_record(line, "log", 1));
    std::string text;
    for (const auto& [key, curve] : curves.curves())
      for (const double value : curve.values) text += fmt::format("{}={} ", key, value);
    return text + fmt::format("{}", curves.last_step());
  } catch (const InputError& error) {
    return error.message();
  }
}

std::string by_line(const std::string& line) {
  try {
    RunCurves curves;
    curves.add_line(line, "log", 1);
    std::string text;
    for (const auto& [key, curve] : curves.curves())
      for (const double value : curve.values) text += fmt::format("{}={} ", key, value);
    return text + fmt::format("{}", curves.last_step());
  } catch (const InputError& error) {
    return error.message();
  }
}

TEST(RunCurves, TheFastWayThroughAStepLineTakesAndRefusesWhatJsonDoes) {
  for (const auto* rest : {"}",
                           R"(,"loss":1})",
                           R"(,"loss":-0.5e-3,"lr":"inf"})",
                           R"(,"loss":01})",
                           R"(,"loss":1.})",
                           R"(,"loss":.5})",
                           R"(,"loss":+1})",
                           R"(,"loss":1e999})",
                           R"(,"loss":1e-999})",
                           R"(,"loss":inf})",
                           R"(,"loss":nan})",
                           R"(,"loss":"nan","loss":2})",
                           R"(,"loss":1e5})",
                           R"(,"loss":1E+5})",
                           R"(,"loss":1e})",
                           R"(,"loss":-})",
                           R"(,"loss":"x"})",
                           R"(,"loss":null})",
                           R"(,"a\u0062":1})",
                           R"(,"step":9})",
                           R"(,"type":"eval","nll":1})",
                           R"(,"loss":1} )",
                           R"(,"loss":1}x)",
                           R"(, "loss":1})",
                           R"(,"loss":[1]})",
                           R"(,"loss":0x10})",
                           R"(,"loss":1)",
                           ",}"})
    for (const auto* step : {"3", "0", "-1", "03", "18446744073709551615", "99999999999999999999", "1.5", "1e2", "\"1\"", ""}) {
      const auto line = std::string(R"({"type":"step","step":)") + step + rest;
      EXPECT_EQ(by_line(line), by_json(line)) << line;
    }
}

RC_GTEST_PROP(RunCurves, TheFastWayReadsEveryDoubleExactly, (double value)) {
  if (!std::isfinite(value)) value = 0.5;
  const auto line = R"({"type":"step","step":1,"loss":)" + json(value).dump() + "}";
  RC_ASSERT(curves_of({line}).curves().at("loss").values.at(0) == value);
}

/// The cell of each row of a CSV text below `column`, empty ones left out.
std::vector<std::string> csv_column(const std::string& csv, const std::string& column) {
  std::istringstream lines(csv);
  std::string line, cell;
  std::vector<std::string> cells;
  std::ptrdiff_t wanted = -1;
  while (std::getline(lines, line)) {
    std::istringstream row(line);
    for (std::ptrdiff_t at = 0; std::getline(row, cell, ','); ++at) {
      if (wanted < 0 && cell == column) wanted = at;
      else if (at == wanted && !cell.empty()) cells.push_back(cell);
    }
  }
  return cells;
}

TEST(RunCurves, EqualTheColumnsOfTheCsv) {
  const TemporaryFolder folder;
  auto log = RunLog::open(folder.path());
  const auto train = [&](int from, int to) {
    for (int step = from; step <= to; ++step) {
      log.append(
          {{"type", "step"}, {"step", step}, {"loss", 5.0 / step}, {"lr", step == 17 ? nan_value : 1e-3 * step}, {"tokens", step * 64}});
      if (step % 50 == 0) log.append({{"type", "eval"}, {"step", step}, {"nll", 4.0 / step}});
    }
  };
  train(1, 200);
  log.append({{"type", "resume"}, {"step", 150}});
  train(151, 300);
  const auto csv = csv_text(read_run_log(folder.path()).records);
  const auto curves = read_curves(folder.path());
  for (const auto& [key, curve] : curves.curves()) {
    const auto cells = csv_column(csv, key);
    ASSERT_EQ(cells.size(), curve.values.size()) << key;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (std::isfinite(curve.values[i])) EXPECT_EQ(std::stod(cells[i]), curve.values[i]) << key << " " << i;
      else EXPECT_EQ(cells[i], "nan");
    }
  }
  EXPECT_EQ(curves.curves().at("loss").steps.size(), 300u);
}

}  // namespace
}  // namespace isotrope

#include "isotrope/runlog/records.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "isotrope/base/error.h"
#include "isotrope/runlog/curves.h"
#include "isotrope/runlog/run_log.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using Values = std::vector<double>;

TEST(RunRecords, WhatAProbeWritesIsReadBack) {
  const test::TemporaryFolder folder;
  auto log = RunLog::open(folder.path());
  Values many(1000);
  std::iota(many.begin(), many.end(), 0.5);
  log.append(table_record(3, "anisotropy", {{"resid_post.0", 0.97}, {"resid_post.1", std::nan("")}}));
  log.append(spectrum_record(3, "gradient", "w", Values{4, std::numeric_limits<double>::infinity(), -2}));
  log.append(spectrum_record(3, "gradient", "x", many));
  const auto curves = read_curves(folder.path());
  EXPECT_EQ(curves.tables().at("anisotropy").at("resid_post.0").values, Values{0.97});
  EXPECT_TRUE(std::isnan(curves.tables().at("anisotropy").at("resid_post.1").values.at(0)));
  const auto& spectra = curves.spectra().at("gradient");
  EXPECT_EQ(spectra.at("w").values, (std::vector<Values>{{4, std::numeric_limits<double>::infinity(), -2}}));
  EXPECT_EQ(spectra.at("x").steps, std::vector<std::uint64_t>{3});
  EXPECT_EQ(spectra.at("x").values.at(0), thinned(many, longest_spectrum));
}

TEST(RunRecords, ARecordThatReadersWouldPassOverIsRefused) {
  EXPECT_THROW(table_record(1, "", {{"a", 1.0}}), WorkError);
  EXPECT_THROW(table_record(1, "t", {}), WorkError);
  EXPECT_THROW(table_record(1, "t", {{"", 1.0}}), WorkError);
  EXPECT_THROW(spectrum_record(1, "", "a", Values{1}), WorkError);
  EXPECT_THROW(spectrum_record(1, "s", "", Values{1}), WorkError);
  EXPECT_THROW(spectrum_record(1, "s", "a", Values{}), WorkError);
}

TEST(RunRecords, ThinnedValuesLieEvenlyBetweenTheFirstAndTheLast) {
  EXPECT_EQ(thinned(Values{1, 2, 3}, 3), (Values{1, 2, 3}));
  EXPECT_EQ(thinned(Values{1, 2, 3, 4, 5}, 3), (Values{1, 3, 5}));
  EXPECT_EQ(thinned(Values{1, 2, 3, 4, 5}, 2), (Values{1, 5}));
  EXPECT_EQ(thinned(Values{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 4), (Values{0, 3, 6, 9}));
  EXPECT_EQ(thinned(Values{0, 1, 2, 3, 4, 5}, 4), (Values{0, 2, 3, 5}));  // the nearest to 5/3 and 10/3
  EXPECT_TRUE(thinned(Values{}, 2).empty());
}

RC_GTEST_PROP(RunRecords, ThinnedIndicesAreNoMoreThanOneApartInTheirDistances, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(1, 5000), most = *rc::gen::inRange<std::size_t>(2, 300);
  Values values(count);
  std::iota(values.begin(), values.end(), 0);
  const auto kept = thinned(values, most);
  RC_ASSERT(kept.size() == std::min(count, most));
  RC_ASSERT(kept.front() == 0 && kept.back() == static_cast<double>(count - 1));
  double shortest = 1e9, longest = 0;
  for (std::size_t i = 1; i < kept.size(); ++i)
    shortest = std::min(shortest, kept[i] - kept[i - 1]), longest = std::max(longest, kept[i] - kept[i - 1]);
  RC_ASSERT(kept.size() < 2 || (shortest >= 1 && longest - shortest <= 1));
}

}  // namespace
}  // namespace isotrope

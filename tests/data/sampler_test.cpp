#include "isotrope/data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "isotrope/base/error.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;
using test::TemporaryFolder;

/// A file whose token i is i.
class Sampler : public ::testing::Test {
 protected:
  const TokenFile& counting(std::uint64_t tokens) {
    const auto path = folder_ / (std::to_string(tokens) + ".tokens");
    TokenFileInfo info;
    info.vocab_size = 65536;
    TokenFileWriter writer(path, info);
    for (std::uint64_t i = 0; i < tokens; ++i) writer.add(std::vector<TokenId>{static_cast<TokenId>(i)});
    writer.finish();
    writer.commit();
    return files_.emplace_back(path);
  }

 private:
  TemporaryFolder folder_;
  std::vector<TokenFile> files_ = reserved();
  static std::vector<TokenFile> reserved() {
    std::vector<TokenFile> files;
    files.reserve(64);  // references handed out stay valid
    return files;
  }
};

TEST_F(Sampler, EveryEpochVisitsEachOfItsWindowsOnce) {
  const WindowSampler sampler(counting(1000), 7, 3);
  EXPECT_EQ(sampler.windows_per_epoch(), 141u);  // (1000 - 1) / 7 - 1
  std::set<std::uint64_t> offsets;
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    std::vector<std::uint64_t> begins;
    for (std::uint64_t i = 0; i < 141; ++i) {
      const auto window = sampler.at(epoch * 141 + i);
      EXPECT_EQ(window.epoch, epoch);
      begins.push_back(window.begin);
    }
    EXPECT_FALSE(std::ranges::is_sorted(begins));
    std::ranges::sort(begins);
    for (std::uint64_t i = 0; i < 141; ++i) EXPECT_EQ(begins[i], begins[0] + 7 * i);
    EXPECT_LE(begins.back() + 8, 1000u);
    offsets.insert(begins[0]);
  }
  EXPECT_GT(offsets.size(), 4u);      // of 13, in 20 draws
  EXPECT_LE(*offsets.rbegin(), 12u);  // 1000 - 1 - 141 * 7
}

TEST_F(Sampler, AWindowIsAFunctionOfSeedAndPosition) {
  const auto& file = counting(1000);
  const WindowSampler first(file, 7, 3), again(file, 7, 3), other(file, 7, 4);
  int same = 0;
  for (const std::uint64_t position : {900, 5, 141, 0, 140, 12345, 5}) {
    EXPECT_EQ(first.at(position).begin, again.at(position).begin);
    same += first.at(position).begin == other.at(position).begin;
  }
  EXPECT_LE(same, 2);
  std::vector<std::int64_t> ids(8);
  first.copy(900, ids.data());
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(static_cast<std::uint64_t>(ids[i]), first.at(900).begin + i);
}

TEST_F(Sampler, ThePositionsOfAKnownSeedStayAsTheyAre) {  // runs resume across versions of the program: these numbers may not change
  const WindowSampler sampler(counting(1000), 7, 3);
  std::vector<std::uint64_t> begins;
  for (std::uint64_t i = 0; i < 4; ++i) begins.push_back(sampler.at(i).begin);
  EXPECT_EQ(begins, (std::vector<std::uint64_t>{268, 961, 597, 548}));
}

TEST_F(Sampler, EveryTokenIsReachedInTheLongRun) {
  for (const std::uint64_t tokens : {8, 11, 15, 16, 50}) {
    const WindowSampler sampler(counting(tokens), 7, 1);
    std::vector<int> seen(tokens);
    for (std::uint64_t position = 0; position < 400; ++position) {
      const auto begin = sampler.at(position).begin;
      ASSERT_LE(begin + 8, tokens);
      for (std::uint64_t i = begin; i < begin + 8; ++i) ++seen[i];
    }
    EXPECT_GT(*std::ranges::min_element(seen), 0) << tokens;
  }
}

TEST_F(Sampler, AFileShorterThanAWindowIsRefused) {
  const auto& file = counting(7);
  EXPECT_NE(message_of([&] { WindowSampler(file, 7, 0); }).find("7 tokens, one window of context 7 needs 8"), std::string::npos);
  EXPECT_NO_THROW(WindowSampler(file, 6, 0));
  EXPECT_THROW(WindowSampler(file, 0, 0), UsageError);
}

TEST_F(Sampler, SequentialWindowsPredictEveryTokenButTheFirstOnce) {
  for (std::uint64_t tokens = 2; tokens < 60; ++tokens)
    for (std::uint64_t context = 1; context < 12; ++context) {
      const SequentialWindows windows(tokens, context + 1, context, "text");
      std::uint64_t next = 1;
      for (std::uint64_t i = 0; i < windows.size(); ++i) {
        EXPECT_EQ(windows[i].begin + 1, next);
        EXPECT_GE(windows[i].count, 2u);
        next = windows[i].begin + windows[i].count;
      }
      EXPECT_EQ(next, tokens) << tokens << " " << context;
    }
}

TEST_F(Sampler, SequentialWindowsEndWithTheFirstThatReachesTheEnd) {
  const SequentialWindows overlapping(10, 6, 2, "text");  // 0–6, 2–8, 4–10
  EXPECT_EQ(overlapping.size(), 3u);
  EXPECT_EQ(overlapping[2].begin + overlapping[2].count, 10u);
  EXPECT_EQ(SequentialWindows(9, 4, 4, "text").size(), 2u);  // a third window would hold one token
  EXPECT_EQ(SequentialWindows(10, 4, 4, "text").size(), 3u);
  EXPECT_THROW(SequentialWindows(1, 4, 4, "text"), InputError);
  EXPECT_THROW(SequentialWindows(9, 4, 5, "text"), UsageError);
}

}  // namespace
}  // namespace isotrope

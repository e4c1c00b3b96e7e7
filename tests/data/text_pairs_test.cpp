#include "isotrope/data/text_pairs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

/// Documents of these lengths and an end-of-text token (0) after each; a token's value is 1000 · document + its place + 1.
TokenFile write(const fs::path& path, const std::vector<int>& lengths) {
  TokenFileInfo info{.vocab_size = 60000, .eos = 0, .fingerprint = std::string(64, 'a')};
  TokenFileWriter writer(path, info);
  for (std::size_t d = 0; d < lengths.size(); ++d) {
    std::vector<TokenId> ids;
    for (int i = 0; i < lengths[d]; ++i) ids.push_back(static_cast<TokenId>(1000 * d + i + 1));
    ids.push_back(0);
    writer.add(ids);
    writer.end_document();
  }
  writer.finish();
  writer.commit();
  return TokenFile(path);
}

TEST(TextPairs, SecondSegmentFollowsOrComesFromAnotherDocument) {
  const test::TemporaryFolder folder;
  const auto file = write(folder / "t.tokens", {300, 500, 40, 7, 200});
  int random_ones = 0, trials = 0;
  for (std::uint64_t begin = 0; begin < file.size(); begin += 3, ++trials) {
    RandomStream random(5, "pairs", begin);
    const auto pair = draw_pair(file, begin, 32, random);
    random_ones += pair.random;
    ASSERT_FALSE(pair.first.empty());
    ASSERT_FALSE(pair.second.empty());
    EXPECT_LE(pair.first.size() + pair.second.size(), 32U);
    for (const auto* part : {&pair.first, &pair.second})
      for (std::size_t i = 1; i < part->size(); ++i) EXPECT_EQ((*part)[i], (*part)[i - 1] + 1);
    EXPECT_EQ(static_cast<std::uint64_t>(pair.first[0] / 1000), file.document_at(begin));
    if (pair.random) EXPECT_NE(pair.first[0] / 1000, pair.second[0] / 1000);
    else EXPECT_EQ(pair.second[0], pair.first.back() + 1);
    if (!pair.random && pair.first[0] / 1000 < 3) EXPECT_EQ(pair.first.size() + pair.second.size(), 32U);
  }
  EXPECT_NEAR(random_ones, 0.5 * trials, 2 * std::sqrt(trials));
}

TEST(TextPairs, TheEndOfTextBelongsToNoSegment) {
  const test::TemporaryFolder folder;
  const auto file = write(folder / "t.tokens", {3, 2, 9});
  for (std::uint64_t begin = 0; begin < file.size(); ++begin)
    for (std::uint64_t step = 0; step < 20; ++step) {
      RandomStream random(5, "pairs", step);
      const auto pair = draw_pair(file, begin, 20, random);
      for (const auto* part : {&pair.first, &pair.second})
        for (const auto id : *part) EXPECT_NE(id, 0);
    }
}

TEST(TextPairs, NeedTwoDocumentsThatCanBeCut) {
  const test::TemporaryFolder folder;
  const auto file = write(folder / "t.tokens", {30, 1, 1});
  EXPECT_THROW(
      {
        for (std::uint64_t step = 0; step < 50; ++step) {
          RandomStream random(5, "pairs", step);
          draw_pair(file, 4, 20, random);
        }
      },
      InputError);
}

}  // namespace
}  // namespace isotrope

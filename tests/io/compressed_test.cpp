#include "isotrope/io/compressed.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;
using test::put;
using test::slurp;
using test::TemporaryFolder;

// Written by Python's gzip and lzma and by zstd 1.5, each in two members, streams or frames.
const fs::path texts = fs::path(ISOTROPE_TEST_SOURCE) / "data" / "text";
constexpr const char* names[] = {"two_members.txt.gz", "two_streams.txt.xz", "two_frames.txt.zst"};

std::string expected() {
  std::string text;
  for (int i = 0; i < 200; ++i) text += fmt::format("line {} of some text that compresses well\n", i);
  return text;
}

std::string all_of(const fs::path& path, std::size_t step) {
  const auto source = open_source(path, "data");
  std::string text, buffer(step, '\0');
  for (;;) {
    const auto count = source->read(buffer);
    text += buffer.substr(0, count);
    if (count < step) break;
  }
  EXPECT_EQ(source->consumed(), fs::file_size(path));
  return text;
}

TEST(Compressed, EveryKindReadsAsItsText) {
  for (const auto* name : names)
    for (const std::size_t step : {1, 7, 4096, 1 << 20}) EXPECT_EQ(all_of(texts / name, step), expected()) << name << " " << step;
  const TemporaryFolder folder;
  put(folder / "plain.txt", expected());
  EXPECT_EQ(all_of(folder / "plain.txt", 100), expected());
}

TEST(Compressed, DamageIsAnErrorThatNamesTheFile) {
  const TemporaryFolder folder;
  for (const auto* name : names) {
    const auto good = slurp(texts / name);
    put(folder / name, good.substr(0, good.size() - 5));
    EXPECT_NE(message_of([&] { all_of(folder / name, 100); }).find("the compressed data is cut off at byte"), std::string::npos)
        << name << message_of([&] { all_of(folder / name, 100); });
    auto bad = good;
    bad[good.size() / 3] ^= 0x55;
    bad[good.size() / 3 + 1] ^= 0x55;
    put(folder / name, bad);
    EXPECT_NE(message_of([&] { all_of(folder / name, 100); }).find(name), std::string::npos) << name;
    put(folder / name, "not compressed at all, whatever the name says");
    EXPECT_NE(message_of([&] { all_of(folder / name, 100); }).find("data is corrupt"), std::string::npos) << name;
  }
  EXPECT_NE(message_of([&] { open_source(folder / "absent.gz", "data"); }).find("absent.gz: cannot open"), std::string::npos);
  EXPECT_NE(message_of([&] { open_source(folder.path(), "data"); }).find("is a folder"), std::string::npos);
}

TEST(Compressed, NamesLoseOnlyTheCompression) {
  EXPECT_EQ(without_compression("a/b.jsonl.gz"), "a/b.jsonl");
  EXPECT_EQ(without_compression("a/b.txt"), "a/b.txt");
}

}  // namespace
}  // namespace isotrope

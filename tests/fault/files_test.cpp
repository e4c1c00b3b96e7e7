#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/data/pack.h"
#include "isotrope/io/npy.h"
#include "isotrope/io/safetensors.h"
#include "tests/data/fake_tokenizer.h"
#include "tests/fault/child.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::kill_at_work;
using test::message_under_file_limit;
using test::names_in;
using test::put;
using test::slurp;
using test::TemporaryFolder;
using Names = std::vector<std::string>;

constexpr rlim_t limit = 100'000;

TEST(FullDisk, AFileKeepsItsEarlierContent) {
  const TemporaryFolder folder;
  put(folder / "file", "earlier");
  const auto message = message_under_file_limit(limit, [&] { write_file(folder / "file", std::string(2 * limit, 'x'), "test"); });
  EXPECT_NE(message.find("[test] " + (folder / "file").string() + ": cannot write: File too large"), std::string::npos) << message;
  EXPECT_EQ(slurp(folder / "file"), "earlier");
  EXPECT_EQ(names_in(folder.path()), Names{"file"});
}

TEST(FullDisk, AFolderKeepsItsEarlierContent) {
  const TemporaryFolder folder;
  put(folder / "model/weights", "earlier");
  const auto message = message_under_file_limit(limit, [&] {
    AtomicFolder model(folder / "model", "test");
    write_file(model.path() / "config.json", "{}", "test");
    write_file(model.path() / "weights", std::string(2 * limit, 'x'), "test");
    model.commit();
  });
  EXPECT_NE(message.find("cannot write"), std::string::npos) << message;
  EXPECT_EQ(slurp(folder / "model/weights"), "earlier");
  EXPECT_EQ(names_in(folder.path()), Names{"model"});
  EXPECT_EQ(names_in(folder / "model"), Names{"weights"});
}

TEST(FullDisk, TensorsAndArraysLeaveNothingBehind) {
  const TemporaryFolder folder;
  const std::vector<float> values(limit);
  const std::vector<TensorView> tensors{{"w", DType::f32, {static_cast<std::int64_t>(limit)}, std::as_bytes(std::span(values))}};
  const auto tensor = message_under_file_limit(limit, [&] { write_safetensors(folder / "m.safetensors", tensors); });
  EXPECT_NE(tensor.find("m.safetensors: cannot write"), std::string::npos) << tensor;
  const auto array = message_under_file_limit(limit, [&] { write_npy(folder / "x.npy", DType::f32, tensors[0].shape, tensors[0].bytes); });
  EXPECT_NE(array.find("x.npy: cannot write"), std::string::npos) << array;
  EXPECT_TRUE(names_in(folder.path()).empty());
}

class PackFault : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 40000; ++i) text += fmt::format("line {} of a text that is packed\n", i);  // 1.4 MB
    put(folder / "big.txt", text);
    put(folder / "small.txt", "small");
  }

  void run(const char* input) const {
    PackOptions options;
    options.inputs = {folder / input};
    options.output = folder / "out";
    options.threads = 2;
    options.validation_tail = 0.2;
    pack(test::FakeTokenizer(), options);
  }

  TemporaryFolder folder;
  std::string text;
};

TEST_F(PackFault, AFullDiskLeavesNothingBehind) {
  const auto message = message_under_file_limit(1'500'000, [&] { run("big.txt"); });
  EXPECT_NE(message.find("train.tokens: cannot write"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST_F(PackFault, AFullDiskKeepsTheEarlierPack) {
  run("small.txt");
  const auto train = slurp(folder / "out/train.tokens"), validation = slurp(folder / "out/validation.tokens");
  const auto names = names_in(folder / "out");
  const auto message = message_under_file_limit(1'500'000, [&] { run("big.txt"); });
  EXPECT_NE(message.find("cannot write"), std::string::npos) << message;
  EXPECT_EQ(slurp(folder / "out/train.tokens"), train);
  EXPECT_EQ(slurp(folder / "out/validation.tokens"), validation);
  EXPECT_EQ(names_in(folder / "out"), names);
}

TEST_F(PackFault, KilledAtAnyMomentItLeavesWholeFilesOrNone) {
  int killed = 0;
  for (int i = 0; i < 12; ++i) {
    fs::remove_all(folder / "out");
    killed += kill_at_work(static_cast<useconds_t>(1500 * i), [&] { run("big.txt"); });
    for (const auto* name : {"train.tokens", "validation.tokens"})
      if (fs::exists(folder / "out" / name)) {
        EXPECT_NO_THROW(TokenFile(folder / "out" / name).verify()) << name;
      }
  }
  EXPECT_GT(killed, 2);
  run("big.txt");  // what a killed one left under temporary names is in nobody's way
  EXPECT_EQ(TokenFile(folder / "out/train.tokens").size() + TokenFile(folder / "out/validation.tokens").size(), text.size() + 2);
}

}  // namespace
}  // namespace isotrope

#include "isotrope/io/model_path.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;
using test::put;
using test::TemporaryFolder;

TEST(ModelPath, AFolderWithAConfigIsItself) {
  const TemporaryFolder folder;
  put(folder / "hf/config.json", "{}");
  EXPECT_EQ(resolve_model(folder / "hf"), folder / "hf");
}

TEST(ModelPath, ARunMeansItsNewestCheckpointByNumber) {
  const TemporaryFolder run;
  for (const auto* name : {"step-9", "step-100", "step-20", ".step-500.partial-7", "step-x", "step-", "best"})
    put(run / "checkpoints" / name / "config.json", "{}");
  put(run / "checkpoints/step-900", "a file, not a checkpoint");
  EXPECT_EQ(resolve_model(run.path()), run / "checkpoints/step-100");
  EXPECT_EQ(newest_checkpoint(run.path()), run / "checkpoints/step-100");
}

TEST(ModelPath, AFileThatIsAWholeModelIsItselfOrTheOnlyOneInItsFolder) {
  const TemporaryFolder folder;
  put(folder / "a/m.gguf", "x");
  put(folder / "a/config.json", "{}");
  put(folder / "a/notes.txt", "x");
  EXPECT_EQ(resolve_model(folder / "a"), folder / "a/m.gguf");
  EXPECT_EQ(resolve_model(folder / "a/m.gguf"), folder / "a/m.gguf");
  put(folder / "a/model.safetensors", "x");  // what the folder is made for goes first
  EXPECT_EQ(resolve_model(folder / "a"), folder / "a");
  put(folder / "run/demo.gguf", "x");  // converted into the run's own folder
  put(folder / "run/checkpoints/step-3/config.json", "{}");
  EXPECT_EQ(resolve_model(folder / "run"), folder / "run/checkpoints/step-3");
  put(folder / "b/stories.bin", "x");
  EXPECT_EQ(resolve_model(folder / "b/stories.bin"), folder / "b/stories.bin");
  put(folder / "c/q4.gguf", "x");
  put(folder / "c/q8.gguf", "x");
  EXPECT_EQ(message_of([&] { resolve_model(folder / "c"); }),
            "[model] " + (folder / "c").string() + ": holds 2 .gguf files, name the one that is meant");
  EXPECT_EQ(resolve_model(folder / "c/q8.gguf"), folder / "c/q8.gguf");
}

TEST(ModelPath, ErrorsSayWhatWasLookedFor) {
  const TemporaryFolder folder;
  EXPECT_NE(message_of([&] { resolve_model(folder / "absent"); }).find("no such file or folder"), std::string::npos);
  EXPECT_NE(message_of([&] { resolve_model(folder.path()); }).find("found neither config.json nor checkpoints/step-N nor a .gguf file"),
            std::string::npos);
  put(folder / "file", "x");
  EXPECT_NE(message_of([&] { resolve_model(folder / "file"); }).find("is a file"), std::string::npos);
  fs::create_directories(folder / "checkpoints");
  EXPECT_NE(message_of([&] { resolve_model(folder.path()); }).find("no checkpoint yet"), std::string::npos);
  fs::create_directories(folder / "checkpoints/step-5");
  EXPECT_NE(message_of([&] { resolve_model(folder.path()); }).find("step-5: the newest checkpoint has no config.json"), std::string::npos);
  EXPECT_EQ(newest_checkpoint(folder / "absent"), std::nullopt);
}

}  // namespace
}  // namespace isotrope

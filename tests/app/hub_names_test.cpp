// The names of models in the hub cache, wherever a command that needs no tensors takes a model or a tokenizer.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/app/program.h"
#include "tests/io/environment.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

namespace fs = std::filesystem;
using test::put;
using test::run_program;

const fs::path model = fs::path(ISOTROPE_TEST_SOURCE) / "data/models/gpt2_tied";

/// org/tiny in a cache of its own: gpt2_tied with five words for a tokenizer.
struct HubNamesInCommands : testing::Test {
  test::TemporaryFolder cache;
  test::Environment environment{{"HF_HUB_CACHE", cache.path().string()}};
  fs::path folder = cache / "models--org--tiny", snapshot = folder / "snapshots" / std::string(40, 'c');

  HubNamesInCommands() {
    put(folder / "refs/main", snapshot.filename().string());
    fs::create_directories(folder / "blobs");
    fs::create_directories(snapshot);
    fs::copy_file(model / "config.json", folder / "blobs/1");
    fs::copy_file(model / "model.safetensors", folder / "blobs/2");
    put(folder / "blobs/3", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhi\n");
    put(folder / "blobs/4", "{{ messages[0].content }}!");
    for (const auto& [file, blob] :
         {std::pair{"config.json", "1"}, {"model.safetensors", "2"}, {"vocab.txt", "3"}, {"chat_template.jinja", "4"}})
      fs::create_symlink(fs::path("../../blobs") / blob, snapshot / file);
  }
};

TEST_F(HubNamesInCommands, InfoShowsTheSnapshot) {
  const auto result = run_program("info org/tiny --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto info = nlohmann::json::parse(result.out);
  EXPECT_EQ(info["path"], snapshot.string());
  EXPECT_EQ(info["model_type"], "gpt2");
  const auto direct = nlohmann::json::parse(run_program("info '" + model.string() + "' --json").out);
  EXPECT_EQ(info["parameters"], direct["parameters"]);
}

TEST_F(HubNamesInCommands, ANameThatIsNotThereGetsTheCommandThatFetchesIt) {
  for (const std::string command : {"info gpt2", "diff gpt2 gpt2"}) {
    const auto result = run_program(command);
    EXPECT_EQ(result.code, 3);
    EXPECT_EQ(result.err, "error: [model] gpt2: no such file or folder, and no model of this name in the hub cache " +
                              cache.path().string() + "\nhint: hf download gpt2\n");
  }
  const auto result = run_program("tokenizer encode gpt2 --text hi");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.err, "error: [tokenizer] gpt2: no such file or folder, and no model of this name in the hub cache " +
                            cache.path().string() + "\nhint: hf download gpt2\n");
}

TEST_F(HubNamesInCommands, AnIncompleteSnapshotIsOneLine) {
  fs::remove(folder / "blobs/2");
  const auto result = run_program("info org/tiny");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.err,
            "error: [model] " + snapshot.string() +
                ": this snapshot of org/tiny is not complete: model.safetensors is a link to nothing\nhint: hf download org/tiny\n");
}

TEST_F(HubNamesInCommands, DiffComparesAModelByItsName) {
  const auto result = run_program("diff org/tiny '" + model.string() + "' --tolerance 0");
  EXPECT_EQ(result.code, 0) << result.err;
}

TEST_F(HubNamesInCommands, TokenizersAreFoundByTheirModelsName) {
  const auto ids = run_program("tokenizer encode org/tiny --text 'hi hi'");
  EXPECT_EQ(ids.out, "2 4 4 3\n") << ids.err;
  EXPECT_EQ(run_program("tokenizer decode org/tiny --ids 4").out, "hi");
  const auto chat = run_program("tokenizer chat org/tiny --message hi");
  EXPECT_EQ(chat.out, "hi!") << chat.err;
  put(cache / "a.txt", "hi hi");
  const auto packed =
      run_program("data pack '" + (cache / "a.txt").string() + "' --tokenizer org/tiny -o '" + (cache / "packed").string() + "'");
  EXPECT_EQ(packed.code, 0) << packed.err;
}

TEST_F(HubNamesInCommands, ASnapshotWithoutATokenizerIsRefusedWithTheCommandThatFetchesIt) {
  fs::remove(snapshot / "vocab.txt");
  const auto result = run_program("tokenizer encode org/tiny --text hi");
  EXPECT_EQ(result.code, 3);
  EXPECT_NE(result.err.find("[tokenizer] " + snapshot.string() + ": no tokenizer here"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("\nhint: hf download org/tiny\n"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace isotrope

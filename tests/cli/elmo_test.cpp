// ELMo's two-way language model, as a user meets it.
#include "isotrope/io/npy.h"
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

const char* const elmo_json =
    R"({"architectures": ["ElmoForBiLM"], "vocab_size": 257, "projection_size": 8, "cell_size": 16, "num_hidden_layers": 2})";
const char* const characters_json =
    R"({"architectures": ["ElmoForBiLM"], "vocab_size": 260, "projection_size": 8, "cell_size": 16, "num_hidden_layers": 1,
 "token_encoder": "char_cnn", "max_characters": 6, "character_embedding_size": 4, "filters": [[1, 4], [2, 6]], "num_highway_layers": 1})";

TEST(ElmoCommands, TrainPlanAndWriteFeatures) {
  for (const auto* config : {elmo_json, characters_json}) {
    const Workplace place(config);
    const std::string validation = "data.validation=" + place("data/validation.tokens");
    const auto trained = place.train({validation, "observe.evaluation=6", "model.dropout=true"}, "--json");
    ASSERT_EQ(trained.code, 0) << trained.err;
    EXPECT_EQ(trained.err.find("warning"), std::string::npos) << trained.err;
    const auto result = nlohmann::json::parse(trained.out.substr(trained.out.rfind('{')));

    const auto plan = run_program("plan " + place("run.toml") + " --json --quiet");
    EXPECT_EQ(plan.code, 0) << plan.err;

    put(place / "lines.txt", "the number 7\nfollows\n");
    const auto output = place("features.npy");
    const auto embed = run_program("embed " + place("run") + " --text " + place("lines.txt") + " --layers 0,1 -o " + output + " --quiet");
    ASSERT_EQ(embed.code, 0) << embed.err;
    EXPECT_EQ(NpyFile(output).shape(), (std::vector<std::int64_t>{2, 16}));

    expect_error(run_program("generate " + place("run") + " --prompt the --max-tokens 3"), 3, {"both sides and writes none\n"});
  }
}

TEST(ElmoCommands, AResumedRunIsTheSameAsAWholeOne) {
  const Workplace place(characters_json);
  ASSERT_EQ(place.train({"run.folder=" + place("whole")}).code, 0);
  ASSERT_EQ(place.train({"run.folder=" + place("cut"), "train.steps=5"}).code, 0);
  const auto resumed = place.train({"run.folder=" + place("cut")}, "--resume");
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  const auto newest = [&](const char* run) { return (newest_checkpoint(place / run).value() / "model.safetensors").string(); };
  EXPECT_EQ(run_program("diff " + newest("whole") + " " + newest("cut")).code, 0);
}

}  // namespace
}  // namespace isotrope

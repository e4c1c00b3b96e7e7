// `isotrope spectrum` and `isotrope compare` as a user runs them.
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

TEST(SpectrumCommand, OfARunHasItsKindsAtEveryCheckpointAndNamesWhatIsAbsent) {
  const Workplace place;
  ASSERT_EQ(place.train({"checkpoint.every=6", "checkpoint.archive=every:4", "checkpoint.keep=1"}).code, 0);
  const auto json = last_json(run_program("spectrum " + place("run") + " --data " + place("data/train.tokens") +
                                          " --batches 2 --batch-size 2 --context 16 --threads 1 --json --csv " + place("values.csv") +
                                          " --page " + place("page.html")));
  std::map<std::string, std::set<std::int64_t>> steps;
  for (const auto& m : json["matrices"]) {
    steps[m["of"]].insert(m["step"].get<std::int64_t>());
    EXPECT_EQ(m["singular_values"].size(), static_cast<std::size_t>(std::min(m["shape"][0].get<int>(), m["shape"][1].get<int>())));
    EXPECT_EQ(m["spike_rank"], 1);
    EXPECT_FALSE(m["truncated"].get<bool>());
    EXPECT_GT(m["spike_energy"].get<double>(), 0);
  }
  EXPECT_EQ(steps["weight"], (std::set<std::int64_t>{4, 8, 12}));
  EXPECT_EQ(steps["gradient"], (std::set<std::int64_t>{4, 8, 12}));
  EXPECT_EQ(steps["momentum"], std::set<std::int64_t>{12});
  EXPECT_EQ(steps["second_moment"], std::set<std::int64_t>{12});
  EXPECT_EQ(json["absent"].size(), 4u);  // momentum and second moment at the archived steps 4 and 8
  const auto csv = slurp(place("values.csv"));
  EXPECT_EQ(csv.substr(0, csv.find('\n')), "model,name,of,step,index,singular_value");
  EXPECT_NE(slurp(place("page.html")).find("spike_energy.gradient"), std::string::npos);

  const auto chosen =
      last_json(run_program("spectrum " + place("run") + " --checkpoints 8 --of weight --matrices '*q_proj*,*embed*' --top 3 --json"));
  ASSERT_EQ(chosen["matrices"].size(), 2u);
  EXPECT_TRUE(chosen["matrices"][0]["truncated"].get<bool>());
  EXPECT_TRUE(chosen["matrices"][0]["spike_gap"].is_null());
  const auto table = run_program("spectrum " + place("run") + " --checkpoints every:12");
  EXPECT_NE(table.out.find("second_moment"), std::string::npos) << table.out;
}

TEST(SpectrumCommand, RefusesInOneLine) {
  const Workplace place;
  expect_error(run_program("spectrum " + place("none")), 3, {place("none")});
  ASSERT_EQ(place.train().code, 0);
  const auto run = "spectrum " + place("run");
  expect_error(run_program(run + " --checkpoints 7"), 2, {"--checkpoints 7", "it has 10, 12"});
  expect_error(run_program(run + " --checkpoints every:x"), 2, {"every:N"});
  expect_error(run_program(run + " --matrices '*x*'"), 2, {"*x*"});
  expect_error(run_program(run + " --of gradient"), 2, {"--data"});
  expect_error(run_program(run + " --of curvature"), 2, {"--of"});
  expect_error(run_program(run + " --data " + place("data/train.tokens") + " --context 5000"), 2, {"--context 5000", "64"});
  expect_error(run_program("spectrum " + place("run/checkpoints/step-12") + " --checkpoints 12"), 2, {"is no run"});
  expect_error(run_program(run + " --keep-packed"), 2, {"--keep-packed"});
  const auto nothing = run_program(run + " --of update --page " + place("page.html"));
  EXPECT_EQ(nothing.code, 0) << nothing.err;
  EXPECT_NE(nothing.out.find("left out: update"), std::string::npos) << nothing.out;
}

TEST(SpectrumCommand, EveryModelReadsTheTextWithItsOwnTokenizer) {
  const Workplace place;
  const auto bytes = place.model().string();
  Workplace other(with(llama_json, "257", "300"));
  ASSERT_EQ(run_program("tokenizer train --file " + other("text.txt") + " --vocab-size 300 -o " + other("tokenizer")).code, 0);
  other.pack("text.txt", other("tokenizer"), "data");
  const auto words = other.model().string();
  const auto gradient = [&](const std::string& models, std::size_t which) {
    const auto json =
        last_json(run_program("spectrum " + models + " --data " + place("text.txt") +
                              " --of gradient --matrices '*q_proj*' --batches 2 --batch-size 2 --context 16 --threads 1 --json"));
    return json["matrices"][which]["singular_values"];
  };
  EXPECT_EQ(gradient(bytes + " " + words, 1), gradient(words, 0));
  EXPECT_EQ(gradient(words + " " + bytes, 1), gradient(bytes, 0));
}

TEST(CompareCommand, TrainsAGridAndSaysWhatCameOfIt) {
  const Workplace place;
  const auto command =
      "compare " + place("run.toml") +
      " --axis optimizer.name=adamw,muon --axis optimizer.lr=1e-3,1e-2 --set data.validation=" + place("data/train.tokens") +
      " --set observe.evaluation=6 --set eval.max_windows=4 --reference optimizer.name=adamw --seeds 1,2 -o " + place("grid");
  const auto result = run_program(command);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("8 runs, 8 to do: about "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("live page: http://127.0.0.1:"), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("optimizer.lr=0.01 optimizer.name=muon"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("at the edge of the grid"), std::string::npos) << result.out;
  EXPECT_TRUE(fs::exists(place("grid/report.html")));
  EXPECT_NE(slurp(place("grid/report.html")).find("optimizer_seconds_per_step"), std::string::npos);
  const auto again = run_program(command + " --json");
  EXPECT_EQ(again.err.find("to do"), std::string::npos) << again.err;
  EXPECT_EQ(last_json(again)["runs"].size(), 8u);
}

TEST(CompareCommand, TakesItsGridFromTheConfigurationAndRefusesInOneLine) {
  const Workplace place;
  put(place.path() / "grid.toml", place.configuration() + "[compare]\naxes = ['train.batch_size=2,4']\nseeds = '1'\n");
  const auto result = run_program("compare " + place("grid.toml") + " --set train.steps=4 -o " + place("grid") + " --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(last_json(result)["axes"][0]["key"], "train.batch_size");
  EXPECT_EQ(slurp(place("grid/runs/2-seed1/config.toml")).find("train.batch_size=2,4"), std::string::npos);
  const auto command = "compare " + place("run.toml") + " -o " + place("out");
  expect_error(run_program(command), 2, {"--axis"});
  expect_error(run_program(command + " --axis optimizer.lrr=1,2"), 2, {"optimizer.lrr"});
  expect_error(run_program(command + " --axis optimizer.lr=1 --axis optimizer.lr=2"), 2, {"optimizer.lr"});
  expect_error(run_program(command + " --axis optimizer.name=adamw,muoon"), 2, {"muoon"});
  expect_error(run_program(command + " --axis optimizer.lr=1e-3,1e-2 --seeds 1,x"), 2, {"seeds"});
  EXPECT_FALSE(fs::exists(place("out")));
}

TEST(CompareCommandSlow, StoppedGoesOnAndChangedIsRefused) {
  const Workplace place;
  const std::string rest = " --axis optimizer.name=adamw,spectra --set train.steps=400 --set checkpoint.every=20 -o " + place("grid");
  Process first(place, "compare " + place("run.toml") + rest);
  ASSERT_TRUE(first.wait_until([&] { return has_steps(place / "grid/runs/adamw-seed0", 30); }));
  first.signal(SIGINT);
  EXPECT_EQ(first.wait().code, 130);
  EXPECT_EQ(nlohmann::json::parse(slurp(place("grid/compare.json")))["runs"][0]["status"], "waiting");
  Process second(place, "compare " + place("run.toml") + rest);
  ASSERT_TRUE(second.wait_until([&] { return has_steps(place / "grid/runs/adamw-seed0", 60); }));
  second.signal(SIGKILL);
  second.wait();
  const auto result = run_program("compare " + place("run.toml") + rest + " --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(last_json(result)["runs"][1]["status"], "done");
  EXPECT_EQ(records(place / "grid/runs/adamw-seed0", "resume").size(), 2u);
  ASSERT_EQ(place.train({"train.steps=400", "checkpoint.every=20"}).code, 0);
  EXPECT_EQ(slurp(newest_checkpoint(place / "run").value() / "model.safetensors"),
            slurp(newest_checkpoint(place / "grid/runs/adamw-seed0").value() / "model.safetensors"));
  expect_error(run_program("compare " + place("run.toml") + rest + " --set train.batch_size=3"), 3, {"train.batch_size", "another folder"});
}

}  // namespace
}  // namespace isotrope

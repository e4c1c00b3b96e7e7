// What `isotrope train` says to a configuration, data or a model that is wrong.
#include "isotrope/base/file.h"
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

TEST(TrainConfiguration, ThatIsWrongIsNamedWithFileAndKey) {
  const Workplace place;
  const auto with_line = [&](const std::string& line) { return put(place / "run.toml", place.configuration() + line); };
  EXPECT_EQ(run_program("train").code, 2);
  expect_error(run_program("train " + place("absent.toml")), 3, {place("absent.toml"), "cannot open"});
  with_line("[sample\n");
  expect_error(place.train(), 2, {place("run.toml") + ":"});
  with_line("[sample]\npromt = 'And'\n");
  expect_error(place.train(), 2, {place("run.toml"), "sample.promt", "hint: did you mean sample.prompt?"});
  with_line("[log]\nevery = 'often'\n");
  expect_error(place.train(), 2, {place("run.toml"), "log.every expects an integer, got string"});
  with_line("");
  expect_error(place.train({"schedule.decay_shape=sqrt"}), 2, {"schedule.decay_shape has no effect", "schedule.name = ", "constant"});
  expect_error(place.train({"train.precision=fp8"}), 2, {"fp8", "bf16, fp32"});
  expect_error(place.train({"train.steps=0"}), 2, {"train.steps = 0 is out of range"});
  expect_error(place.train({"schedule.warmup_steps=20"}), 2, {"schedule.warmup_steps = 20", "train.steps = 12"});
  expect_error(place.train({"train.device=mps"}), 2, {"mps is not available here"});
  expect_error(place.train({"model.init_from=" + place("x")}), 2, {"model.config", "model.init_from"});
  EXPECT_FALSE(fs::exists(place / "run"));
}

TEST(TrainData, ThatIsWrongIsNamedWithFileAndReason) {
  const Workplace place;
  const auto tokens = slurp(place / "data/train.tokens");
  expect_error(place.train({"data.train=" + place("absent.tokens"), "data.tokenizer=bytes"}), 3,
               {place("absent.tokens"), "there is no such file"});
  expect_error(place.train({"data.train=" + place("text.txt"), "data.tokenizer=bytes"}), 3, {place("text.txt"), "not a token file"});
  put(place / "data/cut.tokens", tokens.substr(0, tokens.size() - 100));
  expect_error(place.train({"data.train=" + place("data/cut.tokens")}), 3,
               {place("data/cut.tokens"), "truncated", std::to_string(tokens.size() - 100)});
  put(place / "data/head.tokens", tokens.substr(0, 20));
  expect_error(place.train({"data.train=" + place("data/head.tokens")}), 3, {place("data/head.tokens"), "truncated: 20 bytes"});
  put(place / "alone/train.tokens", tokens);
  expect_error(place.train({"data.train=" + place("alone/train.tokens")}), 3, {place("alone"), "no tokenizer"});
  put(place / "short.txt", "a few bytes");
  place.pack("short.txt", "bytes", "short");
  expect_error(place.train({"data.train=" + place("short/train.tokens")}), 3, {place("short/train.tokens"), "context 32"});
  EXPECT_FALSE(fs::exists(place / "run"));
}

TEST(TrainData, OfAnotherVocabularyIsRefused) {
  const Workplace place;
  ASSERT_EQ(run_program("tokenizer train --quiet --file " + place("text.txt") + " --vocab-size 300 -o " + place("bpe")).code, 0);
  place.pack("text.txt", place("bpe"), "other");
  expect_error(place.train({"data.train=" + place("other/train.tokens"), "data.tokenizer=bytes"}), 3,
               {place("other/train.tokens"), "tokenizer"});
  expect_error(place.train({"data.validation=" + place("other/validation.tokens"), "observe.evaluation=5"}), 3,
               {place("other/validation.tokens"), "tokenizer"});
  // A vocabulary that the model has no room for: both files are named.
  const auto vocabulary = nlohmann::json::parse(slurp(place / "bpe/tokenizer.json"))["model"]["vocab"].size();
  ASSERT_GT(vocabulary, 257u);
  expect_error(place.train({"data.train=" + place("other/train.tokens")}), 3, {place("model.json"), "257", std::to_string(vocabulary)});
  EXPECT_FALSE(fs::exists(place / "run"));
}

TEST(TrainModelSlow, ConfigThatIsWrongIsNamedWithFileAndField) {
  const Workplace place;
  const auto expect = [&](const std::string& json, const std::vector<std::string>& needles) {
    put(place / "model.json", json);
    auto all = needles;
    all.push_back(place("model.json"));
    expect_error(place.train(), 3, all);
  };
  const std::string good = llama_json;
  expect(good.substr(0, good.size() - 1), {"line 2"});
  expect("[1, 2]", {"object"});
  expect(with(good, "LlamaForCausalLM", "LamaForCausalLM"), {"LamaForCausalLM is not supported", "hint: did you mean LlamaForCausalLM?"});
  expect(with(good, "\"LlamaForCausalLM\"", ""), {"model_type"});
  expect(with(good, "\"hidden_size\": 16", "\"hidden_size\": \"16\""), {"\"hidden_size\": expected an integer, got a string"});
  expect(with(good, "\"vocab_size\": 257, ", ""), {"vocab_size"});
  expect(with(good, "\"num_attention_heads\": 2", "\"num_attention_heads\": 0"), {"head"});
  expect(with(good, "\"vocab_size\": 257", "\"vocab_size\": -5"), {"vocab_size", "-5"});
  expect(with(good, "\"max_position_embeddings\": 64", "\"max_position_embeddings\": 31"), {"train.context = 32", "31 positions"});
  expect(with(gpt2_json, "\"n_head\": 2", "\"n_head\": 3"), {"n_embd = 16", "n_head = 3"});
  expect(with(gpt2_json, "\"n_positions\": 64", "\"n_positions\": -1"), {"n_positions", "-1"});
  expect_error(place.train({"model.config=" + place("absent.json")}), 3, {place("absent.json"), "cannot open"});
  EXPECT_FALSE(fs::exists(place / "run"));
}

TEST(ExistingRun, IsNeitherOverwrittenNorResumedAsAnotherRun) {
  const Workplace place;
  expect_error(place.train({}, "--resume"), 3, {place("run"), "holds no run to resume"});
  EXPECT_FALSE(fs::exists(place / "run"));
  ASSERT_EQ(place.train().code, 0);
  const auto before = state_of(place / "run"), log = slurp(place / "run/run.jsonl"), config = slurp(place / "run/config.toml");
  expect_error(place.train(), 3, {place("run"), "holds a run already", "hint: ", "--resume"});
  expect_error(place.train({"train.seed=5", "train.steps=20"}, "--resume"), 2, {place("run"), "train.seed = 0", "cannot change"});
  expect_error(place.train({"train.context=16", "train.steps=20"}, "--resume"), 2, {place("run"), "train.context = 32", "cannot change"});
  put(place / "longer.txt", sample_text(70));
  place.pack("longer.txt", "bytes", "longer");
  expect_error(place.train({"data.train=" + place("longer/train.tokens"), "train.steps=20"}, "--resume"), 3,
               {place("run"), "was trained on other data"});
  put(place / "model.json", with(llama_json, "\"intermediate_size\": 24", "\"intermediate_size\": 32"));
  expect_error(place.train({"train.steps=20"}, "--resume"), 3, {place("run/checkpoints/step-12"), "mlp", "shape"});
  EXPECT_TRUE(state_of(place / "run") == before);
  EXPECT_EQ(slurp(place / "run/run.jsonl"), log);
  EXPECT_EQ(slurp(place / "run/config.toml"), config);
}

TEST(ExistingRun, DoesNotGoOnWithAnotherTextOfTheSameLength) {
  const Workplace place;
  ASSERT_EQ(place.train().code, 0);
  put(place / "other.txt", sample_text(60, "letter"));  // as many letters as "number"
  place.pack("other.txt", "bytes", "other");
  ASSERT_EQ(fs::file_size(place / "other/train.tokens"), fs::file_size(place / "data/train.tokens"));
  expect_error(place.train({"data.train=" + place("other/train.tokens"), "train.steps=20"}, "--resume"), 3,
               {place("run"), "was trained on other data"});
}

TEST(ExistingRun, WithABrokenNewestCheckpointSaysWhichFileAndKeepsTheOthers) {
  const Workplace place;
  ASSERT_EQ(place.train().code, 0);
  const auto newest = place / "run/checkpoints/step-12";
  const auto optimizer = slurp(newest / "optimizer.safetensors"), state = slurp(newest / "train_state.json");
  put(newest / "optimizer.safetensors", optimizer.substr(0, optimizer.size() - 8));
  expect_error(place.train({"train.steps=20"}, "--resume"), 3, {(newest / "optimizer.safetensors").string()});
  put(newest / "optimizer.safetensors", optimizer);
  put(newest / "train_state.json", with(state, "\"position\"", "\"positron\""));
  expect_error(place.train({"train.steps=20"}, "--resume"), 3, {(newest / "train_state.json").string(), "position"});
  put(newest / "train_state.json", state.substr(0, 40));
  expect_error(place.train({"train.steps=20"}, "--resume"), 3, {(newest / "train_state.json").string(), "line"});
  fs::remove_all(newest);
  EXPECT_EQ(place.train({"train.steps=14"}, "--resume").code, 0);  // from step 10
  EXPECT_EQ(records(place / "run", "step").size(), 14u);
}

TEST(ConfigurationsSlow, OfTheRepositoryTrainAStepOnTheirModels) {
  const fs::path folder = fs::path(ISOTROPE_TEST_SOURCE).parent_path() / "configs";
  const Workplace place;
  write_file(place("data/records.jsonl"), R"({"text": "the number one", "label": 0})", "test");
  int found = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".toml") continue;
    SCOPED_TRACE(entry.path().filename());
    ++found;
    const auto check = run_program("config --check " + entry.path().string());
    ASSERT_EQ(check.code, 0) << check.err;
    EXPECT_EQ(check.err, "");
    // Paths in the files are relative to the repository; a vocabulary of 257 fits every model there.
    const auto named = check.out.find("\nconfig = '");
    ASSERT_NE(named, check.out.npos) << check.out;
    const auto begin = check.out.find('\'', named) + 1;
    const auto model = folder.parent_path() / check.out.substr(begin, check.out.find('\'', begin) - begin);
    const auto run = "run-" + entry.path().stem().string();
    const bool labels = check.out.find("'classification'") != check.out.npos;
    const auto train = run_program(
        "train " + entry.path().string() + " --json --set run.folder=" + place(run) + " --set model.config=" + model.string() +
        " --set data.train=" + place(labels ? "data/records.jsonl" : "data/train.tokens") +
        " --set data.validation=" + place(labels ? "data/records.jsonl" : "data/validation.tokens") +
        " --set train.steps=1 --set train.batch_size=1 --set train.context=16 --set schedule.warmup_steps=0 --set eval.max_windows=1" +
        (check.out.find("wsd") != check.out.npos ? " --set schedule.decay_steps=1" : ""));
    ASSERT_EQ(train.code, 0) << train.err;
    EXPECT_EQ(last_json(train)["steps"], 1);
    EXPECT_TRUE(fs::exists(place / run / "checkpoints/step-1/model.safetensors"));
    const auto info = run_program("info --json " + place(run));
    EXPECT_EQ(info.code, 0) << info.err;
  }
  EXPECT_GE(found, 2);
}

TEST(TrainJson, IsTheLastLineAndHoldsItsKeys) {
  const Workplace place;
  const auto result =
      place.train({"observe.evaluation=6", "data.validation=" + place("data/validation.tokens"), "eval.max_windows=4"}, "--json --quiet");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(lines_of(result.out).size(), 1u);
  const auto json = last_json(result);
  for (const auto* key : {"steps", "tokens", "skipped", "loss", "validation_nll", "validation_bits_per_byte", "seconds"})
    EXPECT_TRUE(json[key].is_number()) << key;
  EXPECT_EQ(json["steps"], 12);
  EXPECT_EQ(json["folder"], place("run"));
  EXPECT_EQ(json["checkpoint"], place("run/checkpoints/step-12"));
}

TEST(TrainDropout, ThatDoesNotActIsNamed) {
  const Workplace place(
      with(gpt2_json, "{", R"({"resid_pdrop": 0.1, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "summary_first_dropout": 0.1, )"));
  const auto result = place.train({"train.steps=2"}, "--quiet");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("without effect, as model.dropout = false: resid_pdrop = 0.1\n"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace isotrope

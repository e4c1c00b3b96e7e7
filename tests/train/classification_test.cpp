// Heads for labels, trained by the one loop: BERT's on the first token, Llama's on the last.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/random.h"
#include "isotrope/io/json.h"
#include "isotrope/io/model_path.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/models/task_head.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/train/plan.h"
#include "isotrope/train/session.h"
#include "isotrope/train/step.h"
#include "isotrope/train/train.h"
#include "tests/engine_support.h"
#include "tests/train/small_run.h"

namespace isotrope {
namespace {

class ClassificationRun : public testing::TestWithParam<std::string> {
 protected:
  ClassificationRun() {
    set_verbosity(Verbosity::quiet);
    write_file(folder_ / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\ngreen\nblue\nwins\nloses\n", "test");
    write_file(folder_ / "bert.json",
               R"({"architectures": ["BertForSequenceClassification"], "vocab_size": 10, "hidden_size": 24, "intermediate_size": 32,
                   "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0,
                   "classifier_dropout": 0.1, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
                   "id2label": {"0": "lost", "1": "won"}})",
               "test");
    write_file(folder_ / "llama.json",
               R"({"architectures": ["LlamaForSequenceClassification"], "vocab_size": 257, "hidden_size": 32, "intermediate_size": 48,
                   "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64, "pad_token_id": 256,
                   "id2label": {"0": "lost", "1": "won"}})",
               "test");
    write_records("train.jsonl", 300, 1);
    write_records("validation.jsonl", 100, 2);
  }

  /// Colours in any number, and among them whether it was won.
  void write_records(const char* name, int count, std::uint64_t seed) const {
    RandomStream random(seed, "test/records");
    std::string lines;
    for (int i = 0; i < count; ++i) {
      const auto length = 1 + random.below(6), place = random.below(length + 1);
      const bool won = random.below(2) == 1;
      std::string text;
      for (std::uint64_t j = 0; j <= length; ++j)
        text += (text.empty() ? "" : " ") +
                (j == place ? std::string(won ? "wins" : "loses") : std::vector<std::string>{"red", "green", "blue"}[random.below(3)]);
      lines += nlohmann::json{{"text", text}, {"label", won ? "won" : "lost"}}.dump() + '\n';
    }
    write_file(folder_ / name, lines, "test");
  }

  RunConfig config(const std::string& run, std::int64_t steps) const {
    RunConfig c;
    c.run.folder = (folder_ / run).string();
    c.model.config = (folder_ / (GetParam() + ".json")).string();
    c.data.train = (folder_ / "train.jsonl").string(), c.data.validation = (folder_ / "validation.jsonl").string();
    c.data.tokenizer = GetParam() == "bert" ? (folder_ / "vocab.txt").string() : "bytes";
    c.train.steps = steps, c.train.batch_size = 16, c.train.context = GetParam() == "bert" ? 16 : 48, c.train.threads = 2;
    c.train.precision = "fp32", c.optimizer.lr = 3e-3, c.schedule.warmup_steps = 5;
    c.model.dropout = GetParam() == "bert";
    c.observe.evaluation = 50, c.checkpoint.every = 4;
    return c;
  }
  static std::vector<nlohmann::json> records(const RunConfig& c, const std::string& type) {
    std::vector<nlohmann::json> out;
    for (const auto& record : read_run_log(c.run.folder).records)
      if (record["type"] == type) out.push_back(record);
    return out;
  }
  std::string refusal(const RunConfig& c) const {
    try {
      train(c);
    } catch (const Error& error) {
      return error.message();
    }
    return "";
  }

  test::TestFolder folder_;
};

TEST_P(ClassificationRun, LearnsToTellTextsApart) {
  auto c = config("run", 150);
  const auto result = train(c);
  const auto evaluation = records(c, "eval").back();
  EXPECT_GE(evaluation["accuracy"].get<double>(), 0.95);
  EXPECT_EQ(evaluation["records"], 100);
  EXPECT_LT(evaluation["nll"].get<double>(), 0.3);
  EXPECT_GE(result.measures.at("validation_accuracy"), 0.95);
  const auto first = records(c, "step").front();
  EXPECT_NEAR(first["loss"].get<double>(), std::log(2.0), 0.2);
  EXPECT_FALSE(first.contains("label_loss")) << "it is the loss";
  const auto saved = read_json(result.checkpoint / "config.json", "test");
  EXPECT_EQ(saved["id2label"]["1"], "won");
  EXPECT_TRUE(load_model(result.checkpoint)->task_head());
}

TEST_P(ClassificationRun, GoesOnWithTheSameBitsAfterItWasKilled) {
  auto whole = config("whole", 22), parts = config("parts", 22);  // 352 records: into a second epoch
  train(whole);
  struct StopAt : test::Watcher {
    void after_update(const StepView& view) override {
      if (view.step == 18) throw WorkError("test", "crash");
    }
  } crash;
  EXPECT_THROW(train(parts, {.observers = {&crash}}), WorkError);
  EXPECT_EQ(newest_checkpoint(parts.run.folder)->filename(), "step-16");
  train(parts, {.resume = true});
  for (const auto* file : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_EQ(read_file(newest_checkpoint(whole.run.folder).value() / file, "test"),
              read_file(newest_checkpoint(parts.run.folder).value() / file, "test"));
  write_records("train.jsonl", 300, 3);
  parts.train.steps = 24;
  EXPECT_THROW(train(parts, {.resume = true}), InputError) << "other records";
}

TEST_P(ClassificationRun, AnEpochTakesEveryRecordOnceInAnOrderOfItsOwn) {
  const auto c = config("order", 1);
  const auto tokenizer = load_tokenizer(c.data.tokenizer);
  const auto model = starting_model(c, tokenizer.get());
  const auto objective = make_objective({*model, c, tokenizer.get()});
  std::array<std::multiset<std::string>, 2> epochs;
  std::array<std::vector<std::string>, 2> orders;
  for (std::uint64_t position = 0; position < 600; ++position) {
    const auto batch = objective->batch(position, 1);
    std::string row = std::to_string(batch.tensors.at("labels").item<std::int64_t>());
    for (std::int64_t i = 0; i < batch.ids.size(1); ++i) row += ' ' + std::to_string(batch.ids[0][i].item<std::int64_t>());
    epochs[position / 300].insert(row), orders[position / 300].push_back(row);
  }
  EXPECT_EQ(epochs[0], epochs[1]);
  EXPECT_NE(orders[0], orders[1]);
}

TEST_P(ClassificationRun, PaddingChangesNothing) {
  auto c = config("padding", 1);
  c.model.dropout = false;
  const auto tokenizer = load_tokenizer(c.data.tokenizer);
  const auto model = starting_model(c, tokenizer.get());
  const auto objective = make_objective({*model, c, tokenizer.get()});
  const FlatParameters parameters(model->parameters(), at::kFloat);
  Gradients gradients(parameters);
  const auto gradient = [&](std::int64_t micro) {
    c.train.micro_batch_size = micro;
    compute_gradients(*model, gradients, *objective, step_batches(*objective, c, 0));
    return gradients.flat().clone();
  };
  const auto whole = gradient(16);
  EXPECT_TRUE(objective->batch(0, 16).documents.defined());
  EXPECT_FALSE(objective->batch(0, 1).documents.defined());
  EXPECT_LT(test::relative(gradient(1), whole), 2e-6);
  EXPECT_LT(test::relative(gradient(5), whole), 2e-6);
}

TEST_P(ClassificationRun, CanBePlanned) {
  const auto plan = plan_run(config("plan", 100), 1);
  EXPECT_EQ(plan.evaluation_batches, 7);  // 100 records, 16 a batch
  EXPECT_EQ(plan.evaluations, 2);
  EXPECT_EQ(plan.flops.head, 0);
  EXPECT_TRUE(plan.calibration);
}

TEST_P(ClassificationRun, WhatCannotBeTrainedSoIsSaidBeforeTheFirstStep) {
  const auto with = [&](const char* key, const nlohmann::json& value) {
    auto c = config("refused", 2);
    auto model = read_json(c.model.config, "test");
    model[key] = value;
    write_file(folder_ / "changed.json", model.dump(), "test");
    c.model.config = (folder_ / "changed.json").string();
    return c;
  };
  EXPECT_NE(refusal(with("problem_type", "regression")).find("problem_type = regression is not supported"), std::string::npos);
  EXPECT_NE(refusal(with("id2label", {{"0", "all"}})).find("single label"), std::string::npos);
  EXPECT_NE(refusal(with("id2label", {{"0", "no"}, {"1", "yes"}})).find("train.jsonl: line 1: \"label\""), std::string::npos);
  auto c = config("refused", 2);
  c.objective.name = "clm";
  EXPECT_THROW(train(c), UsageError);
  c = config("refused", 2), c.data.document_mask = true;
  EXPECT_THROW(train(c), UsageError);
  c = config("refused", 2), c.objective.mask_rate = 0.4;
  EXPECT_NE(refusal(c).find("objective.mask_rate"), std::string::npos);
  c = config("refused", 2), c.observe.samples = 1;
  EXPECT_NE(refusal(c).find("writes no text"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "refused/run.jsonl"));
}

TEST_P(ClassificationRun, TrainsItsHeadBesideLowRankFactors) {
  auto c = config("lora", 5);
  c.lora.targets = {GetParam() == "bert" ? "*.query.weight" : "*.q_proj.weight"};
  const auto name = GetParam() == "bert" ? "classifier.weight" : "score.weight";
  const auto start = starting_model(c, nullptr);
  train(c);
  const auto trained = load_model(newest_checkpoint(c.run.folder).value());
  EXPECT_TRUE(start->parameters().find(name)->trains);
  EXPECT_FALSE(at::equal(start->parameters().find(name)->value, trained->parameters().find(name)->value));
  const auto frozen = GetParam() == "bert" ? "bert.encoder.layer.0.output.dense.weight" : "model.layers.0.mlp.down_proj.weight";
  EXPECT_TRUE(at::equal(start->parameters().find(frozen)->value, trained->parameters().find(frozen)->value));
}

INSTANTIATE_TEST_SUITE_P(Heads, ClassificationRun, testing::Values("bert", "llama"), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace isotrope

#include "isotrope/train/objective.h"

#include <gtest/gtest.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/data/token_file.h"
#include "isotrope/io/model_path.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/train/plan.h"
#include "isotrope/train/session.h"
#include "isotrope/train/step.h"
#include "isotrope/train/train.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

constexpr std::int64_t pad = 0, cls = 2, sep = 3, mask = 4;

/// A WordPiece vocabulary, documents of sentences in it, and encoders to train on them.
class Objectives : public testing::Test {
 protected:
  Objectives() {
    set_verbosity(Verbosity::quiet);
    std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nnumber\nfollows\nprecedes\n.\n";
    for (int i = 0; i < 10; ++i) vocabulary += std::to_string(i) + "\n##" + std::to_string(i) + "\n";
    write_file(folder_ / "vocab.txt", vocabulary, "test");
    tokenizer_ = load_tokenizer(folder_ / "vocab.txt");
    write_tokens(folder_ / "train.tokens", 200);
    write_tokens(folder_ / "validation.tokens", 60);
    write_file(folder_ / "bert.json", bert("BertForPreTraining"), "test");
    write_file(folder_ / "masked.json", bert("BertForMaskedLM"), "test");
    write_file(folder_ / "bare.json", bert("BertModel"), "test");
    write_file(
        folder_ / "elmo.json",
        R"({"architectures": ["ElmoForBiLM"], "model_type": "elmo", "vocab_size": 30, "projection_size": 16, "cell_size": 24, "dropout": 0.0})",
        "test");
    write_file(folder_ / "gpt2.json",
               R"({"architectures": ["GPT2LMHeadModel"], "vocab_size": 30, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64})",
               "test");
  }

  static std::string bert(const std::string& architecture) {
    return R"({"architectures": [")" + architecture + R"("], "vocab_size": 30, "hidden_size": 24, "intermediate_size": 32,
      "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64, "hidden_dropout_prob": 0.2})";
  }

  void write_tokens(const fs::path& path, int documents) const {
    TokenFileWriter writer(
        path, {.vocab_size = tokenizer_->vocab_size(), .eos = tokenizer_->document_end(), .fingerprint = tokenizer_->fingerprint()});
    for (int i = 0; i < documents; ++i) {
      for (int j = 0; j <= i % 7; ++j)
        writer.add(tokenizer_->encode("the number " + std::to_string(i * 7 % 13) + " follows the number " + std::to_string(j) + ". ",
                                      {.add_special_tokens = false}));
      writer.add(std::vector<TokenId>{*tokenizer_->document_end()});
      writer.end_document();
    }
    writer.finish();
    writer.commit();
  }

  RunConfig config(const std::string& model, std::int64_t steps = 4) const {
    RunConfig c;
    c.run.folder = (folder_ / ("run-" + std::to_string(runs_++))).string();
    c.model.config = (folder_ / (model + ".json")).string();
    c.data.train = (folder_ / "train.tokens").string(), c.data.validation = (folder_ / "validation.tokens").string();
    c.data.tokenizer = (folder_ / "vocab.txt").string();
    c.train.steps = steps, c.train.batch_size = 6, c.train.context = 32, c.train.threads = 2, c.train.precision = "fp32";
    c.optimizer.lr = 3e-3;
    c.observe.evaluation = 0, c.checkpoint.every = 0;
    return c;
  }

  std::unique_ptr<Objective> objective(const RunConfig& c) const {
    return make_objective({*starting_model(c, tokenizer_.get()), c, tokenizer_.get()});
  }

  Batch rows(const std::string& model, std::int64_t count, std::uint64_t position = 0, bool document_mask = false) const {
    auto c = config(model);
    c.data.document_mask = document_mask;
    c.train.seed = 3;
    return objective(c)->batch(position, count);
  }

  /// How often each token comes in the validation file, the ends of documents apart: what a model knows that sees nothing.
  at::Tensor shares_of_tokens() const {
    const TokenFile file(folder_ / "validation.tokens");
    std::vector<std::int64_t> ids(file.size());
    file.copy(0, file.size(), ids.data());
    const auto counts = at::tensor(ids).bincount({}, 30).to(at::kDouble).index_fill(0, at::tensor({sep}), 0);
    return counts / counts.sum();
  }

  test::TestFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  mutable int runs_ = 0;
};

std::int64_t at(const at::Tensor& x, std::int64_t row, std::int64_t column) { return x[row][column].item<std::int64_t>(); }

TEST_F(Objectives, MaskedRowsAreOneTextBetweenClsAndSep) {
  const auto batch = rows("masked", 40);
  EXPECT_FALSE(batch.documents.defined());
  EXPECT_FALSE(batch.token_types.defined());
  EXPECT_EQ(batch.tokens, 40 * 32);
  for (std::int64_t row = 0; row < 40; ++row) {
    EXPECT_EQ(at(batch.ids, row, 0), cls);
    EXPECT_EQ(at(batch.ids, row, 31), sep);
  }
  EXPECT_NEAR(static_cast<double>(batch.counts.at("token")), 0.15 * 40 * 30, 4 * std::sqrt(0.15 * 40 * 30));
  EXPECT_EQ(batch.tensors.at("places").numel(), batch.counts.at("token"));
  // Put back, the targets make the text that the sampler gave: the document ends apart, nothing special is in it.
  const auto whole = batch.ids.flatten().index_put({batch.tensors.at("places")}, batch.tensors.at("targets"));
  EXPECT_EQ((whole == mask).sum().item<std::int64_t>(), 0);
  EXPECT_GT((batch.ids == mask).sum().item<std::int64_t>(), 0);
}

TEST_F(Objectives, AnotherEpochMasksAnew) {
  // One window, so that every epoch has the same text, but for where it begins.
  const auto path = folder_ / "short.tokens";
  TokenFileWriter writer(path, {.vocab_size = tokenizer_->vocab_size(), .fingerprint = tokenizer_->fingerprint()});
  writer.add(std::vector<TokenId>(31, 7));
  writer.finish();
  writer.commit();
  auto c = config("masked");
  c.data.train = path.string();
  const auto mlm = objective(c);
  const auto places = [&](std::uint64_t position) { return mlm->batch(position, 1).tensors.at("places"); };
  EXPECT_TRUE(at::equal(places(0), places(0)));
  int others = 0;
  for (std::uint64_t epoch = 1; epoch <= 10; ++epoch) others += !at::equal(places(0), places(epoch));
  EXPECT_GE(others, 9);
}

TEST_F(Objectives, DocumentsOfAMaskedRowMayBeKeptApart) {
  const auto batch = rows("masked", 10, 0, true);
  ASSERT_TRUE(batch.documents.defined());
  EXPECT_GT(batch.documents.max().item<std::int64_t>(), 0);
  const auto step = batch.documents.narrow(1, 1, 31) - batch.documents.narrow(1, 0, 31);
  EXPECT_TRUE(((step == 0) | (step == 1)).all().item<bool>());
}

TEST_F(Objectives, PairsHaveTwoSegmentsAndPaddingIsADocumentOfItsOwn) {
  const auto batch = rows("bert", 60);
  ASSERT_TRUE(batch.tensors.contains("pair_targets"));
  EXPECT_EQ(batch.token_types.sizes(), batch.ids.sizes());
  EXPECT_NEAR(batch.tensors.at("pair_targets").sum().item<double>(), 30, 4 * std::sqrt(15.0));
  bool padded = false;
  for (std::int64_t row = 0; row < 60; ++row) {
    EXPECT_EQ(at(batch.ids, row, 0), cls);
    std::vector<std::int64_t> ends;
    std::int64_t length = 0;
    for (std::int64_t i = 0; i < 32; ++i) {
      if (at(batch.documents, row, i) == 0) length = i + 1;
      if (at(batch.ids, row, i) == sep) ends.push_back(i);
    }
    padded = padded || length < 32;
    ASSERT_EQ(ends.size(), 2U);
    EXPECT_EQ(ends[1], length - 1);
    for (std::int64_t i = 0; i < 32; ++i) {
      EXPECT_EQ(at(batch.token_types, row, i), i > ends[0] && i <= ends[1] ? 1 : 0);
      if (i >= length) EXPECT_EQ(at(batch.ids, row, i), pad);
    }
  }
  EXPECT_TRUE(padded);
}

TEST_F(Objectives, AnySplitOfTheBatchGivesTheSameGradientWithDropoutToo) {
  for (const auto* name : {"bert", "masked"}) {
    auto c = config(name);
    auto model = starting_model(c, tokenizer_.get());
    const FlatParameters parameters(model->parameters(), at::kFloat);
    Gradients gradients(parameters);
    const auto masked = make_objective({*model, c, tokenizer_.get()});
    const auto gradient = [&](std::int64_t micro, std::uint64_t step) {
      c.train.micro_batch_size = micro;
      compute_gradients(*model, gradients, *masked, step_batches(*masked, c, 0), DropoutSeed{1, step});
      return gradients.flat().clone();
    };
    const auto whole = gradient(6, 0);
    for (const std::int64_t micro : {1, 2, 4}) EXPECT_LT(test::relative(gradient(micro, 0), whole), 2e-6) << name << ' ' << micro;
    EXPECT_GT(test::relative(gradient(6, 1), whole), 1e-2);  // another step drops others
  }
}

TEST_F(Objectives, TheLossIsTheMeanOverHiddenTokensPlusThatOverPairs) {
  const auto c = config("bert");
  auto model = starting_model(c, tokenizer_.get());
  const auto batch = rows("bert", 6);
  Measures measures;
  const auto loss = objective(c)->loss(*model, batch, StepCounts({&batch, 1}), forward_context(batch), measures);
  const auto hidden = model->forward_ids(batch.ids, {.documents = batch.documents, .token_types = batch.token_types});
  const auto all = at::log_softmax(model->logits(hidden), -1).flatten(0, 1).index_select(0, batch.tensors.at("places"));
  const auto tokens = -all.gather(1, batch.tensors.at("targets").unsqueeze(1)).mean();
  const auto pairs =
      -at::log_softmax(model->pair_logits(hidden.select(1, 0)), -1).gather(1, batch.tensors.at("pair_targets").unsqueeze(1)).mean();
  EXPECT_NEAR(loss.item<double>(), (tokens + pairs).item<double>(), 1e-5);
  EXPECT_NEAR(measures.loss(), loss.item<double>(), 1e-5);
  EXPECT_NEAR(measures.part("token").accuracy(), (all.argmax(1) == batch.tensors.at("targets")).to(at::kFloat).mean().item<double>(), 1e-6);
  EXPECT_EQ(measures.part("pair").count, 6);
}

TEST_F(Objectives, AnEncoderLearnsAndItsRunSaysHowWell) {
  auto c = config("bert", 300);
  c.train.batch_size = 16, c.observe.evaluation = 150, c.optimizer.lr = 1e-2;
  const auto result = train(c);
  std::vector<nlohmann::json> steps, evaluations;
  for (const auto& record : read_run_log(c.run.folder).records) {
    if (record["type"] == "step") steps.push_back(record);
    if (record["type"] == "eval") evaluations.push_back(record);
  }
  ASSERT_EQ(steps.size(), 300U);
  for (const auto* key : {"accuracy", "token_loss", "pair_loss", "pair_accuracy"}) EXPECT_TRUE(steps.back().contains(key)) << key;
  ASSERT_EQ(evaluations.size(), 2U);
  EXPECT_NEAR(evaluations[1]["nll"].get<double>(), evaluations[1]["token_loss"].get<double>() + evaluations[1]["pair_loss"].get<double>(),
              1e-6);
  EXPECT_GT(steps.front()["token_loss"].get<double>(), 3.0);  // ln 30 = 3.4
  // Better than knowing how often each token comes: it uses what stands around.
  EXPECT_LT(evaluations[1]["token_loss"].get<double>(), 0.7 * -at::xlogy(shares_of_tokens(), shares_of_tokens()).sum().item<double>());
  EXPECT_GT(evaluations[1]["accuracy"].get<double>(), 1.5 * shares_of_tokens().max().item<double>());  // or always the commonest one
  EXPECT_EQ(result.steps, 300);
}

TEST_F(Objectives, AResumedRunWithDropoutEqualsAnUninterruptedOneBitForBit) {
  const auto bytes = [](const RunConfig& c) { return read_file(newest_checkpoint(c.run.folder).value() / "model.safetensors", "test"); };
  auto whole = config("bert", 6), halves = config("bert", 3);
  whole.model.dropout = halves.model.dropout = true;
  whole.schedule.name = halves.schedule.name = "constant", whole.schedule.warmup_steps = halves.schedule.warmup_steps = 0;
  train(whole);
  train(halves);
  halves.train.steps = 6;
  train(halves, {.resume = true});
  EXPECT_EQ(bytes(whole), bytes(halves));
  auto without = config("bert", 6);
  without.schedule.name = "constant", without.schedule.warmup_steps = 0;
  train(without);
  EXPECT_NE(bytes(whole), bytes(without));
}

TEST_F(Objectives, WhatAModelCannotBeTrainedForIsSaid) {
  const auto made = [&](const std::string& model, const std::string& name, const Tokenizer& tokenizer) {
    auto c = config(model);
    c.objective.name = name;
    return make_objective({*starting_model(c, nullptr), c, &tokenizer})->name();
  };
  EXPECT_EQ(made("bert", "auto", *tokenizer_), "mlm_nsp");
  EXPECT_EQ(made("bert", "mlm", *tokenizer_), "mlm");
  EXPECT_EQ(made("masked", "auto", *tokenizer_), "mlm");
  EXPECT_EQ(made("gpt2", "auto", *tokenizer_), "clm");
  EXPECT_EQ(made("elmo", "auto", *tokenizer_), "bilm");
  EXPECT_THROW(made("elmo", "clm", *tokenizer_), UsageError);
  EXPECT_THROW(made("masked", "mlm_nsp", *tokenizer_), UsageError);
  EXPECT_THROW(made("masked", "clm", *tokenizer_), UsageError);
  EXPECT_THROW(made("gpt2", "mlm", *tokenizer_), UsageError);
  EXPECT_THROW(made("gpt2", "bilm", *tokenizer_), UsageError);
  EXPECT_THROW(made("bare", "auto", *tokenizer_), InputError);
  EXPECT_THROW(made("masked", "auto", *byte_tokenizer()), InputError);
  auto c = config("gpt2");
  c.objective.mask_rate = 0.3;
  EXPECT_THROW(objective(c), UsageError);
  c = config("bert");
  c.data.document_mask = true;
  EXPECT_THROW(objective(c), UsageError);
  c = config("masked");
  c.observe.samples = 2;
  EXPECT_THROW(train(c), UsageError);
  c = config("masked");
  const auto padded = make_model(
      {{"architectures", {"BertForMaskedLM"}}, {"vocab_size", 30}, {"pad_token_id", 1}, {"num_hidden_layers", 0}}, {}, "config.json");
  EXPECT_THROW(make_objective({*padded, c, tokenizer_.get()}), InputError);
}

TEST_F(Objectives, AStepThatAsksForNothingHasNoGradientAndNoLoss) {
  const auto c = config("masked");
  auto model = starting_model(c, tokenizer_.get());
  const FlatParameters parameters(model->parameters(), at::kFloat);
  Gradients gradients(parameters);
  auto batch = rows("masked", 4);
  const auto mlm = objective(c);
  compute_gradients(*model, gradients, *mlm, {&batch, 1});
  EXPECT_GT(gradients.flat().norm().item<double>(), 0);
  for (const auto* name : {"places", "targets"}) batch.tensors.at(name) = batch.tensors.at(name).narrow(0, 0, 0);
  batch.counts.at("token") = 0;
  const auto outcome = compute_gradients(*model, gradients, *mlm, {&batch, 1});
  EXPECT_EQ(gradients.flat().norm().item<double>(), 0);
  EXPECT_FALSE(outcome.measures.any());
  EXPECT_TRUE(std::isnan(outcome.measures.loss()));
}

TEST_F(Objectives, StepsThatAskForNothingAreLoggedAndChangeNothing) {
  auto c = config("masked", 12);
  c.train.batch_size = 1, c.train.context = 6, c.objective.mask_rate = 0.05, c.schedule.name = "constant", c.schedule.warmup_steps = 0;
  train(c);
  int empty = 0, steps = 0;
  for (const auto& record : read_run_log(c.run.folder).records) {
    empty += record["type"] == "skip" && record["reason"] == "empty";
    steps += record["type"] == "step";
    if (record["type"] == "step") EXPECT_GT(record["loss"].get<double>(), 0);
  }
  EXPECT_GT(empty, 0);
  EXPECT_EQ(empty + steps, 12);
}

TEST_F(Objectives, WhatCannotBeEvaluatedIsSaidBeforeTheFirstStep) {
  write_tokens(folder_ / "one.tokens", 1);
  auto c = config("bert");
  c.train.context = 8, c.observe.evaluation = 2, c.data.validation = (folder_ / "one.tokens").string();
  EXPECT_THROW(train(c), InputError);
  EXPECT_FALSE(fs::exists(fs::path(c.run.folder) / "run.jsonl"));
}

TEST_F(Objectives, AResumeCannotChangeTheObjective) {
  auto c = config("bert", 2);
  c.schedule.name = "constant", c.schedule.warmup_steps = 0;
  train(c);
  c.train.steps = 4, c.objective.name = "mlm";
  EXPECT_THROW(train(c, {.resume = true}), UsageError);
}

TEST_F(Objectives, AnEncoderCanBePlanned) {
  for (const std::string name : {"bert", "masked", "elmo"}) {
    auto c = config(name, 300);
    c.observe.evaluation = 100;
    const auto plan = plan_run(c, 2);
    ASSERT_TRUE(plan.calibration);
    EXPECT_GT(plan.calibration->evaluation_seconds, 0);
    const auto model = starting_model(c, nullptr);
    EXPECT_NEAR(plan.flops.head, 6 * (name == "elmo" ? 2 : 0.15) * static_cast<double>(model->head().weight().numel()), 1e-6);
    if (name != "elmo") EXPECT_EQ(plan.flops.attention, 12.0 * 24 * 32);
  }
}

TEST_F(Objectives, ABiLmLearnsFromBothSides) {
  auto c = config("elmo", 120);
  c.train.batch_size = 16, c.observe.evaluation = 120, c.optimizer.lr = 1e-2;
  train(c);
  nlohmann::json last, evaluation;
  for (const auto& record : read_run_log(c.run.folder).records) {
    if (record["type"] == "step") last = record;
    if (record["type"] == "eval") evaluation = record;
  }
  const auto entropy = -at::xlogy(shares_of_tokens(), shares_of_tokens()).sum().item<double>();
  for (const auto* key : {"token_loss", "backward_loss"}) EXPECT_LT(evaluation[key].get<double>(), 0.7 * entropy) << key;
  EXPECT_NEAR(evaluation["nll"].get<double>(), evaluation["token_loss"].get<double>() + evaluation["backward_loss"].get<double>(), 1e-6);
  EXPECT_TRUE(last.contains("backward_accuracy"));
}

TEST_F(Objectives, RowsOfABiLmHaveTheTokenBeforeAndTheTokenAfter) {
  for (const bool mask : {false, true}) {
    const auto batch = rows("elmo", 8, 0, mask);
    for (std::int64_t row = 0; row < 8; ++row)
      for (std::int64_t i = 0; i < 32; ++i) {
        const auto same = [&](std::int64_t other) { return !mask || at(batch.documents, row, other) == at(batch.documents, row, i); };
        if (i > 0) EXPECT_EQ(at(batch.tensors.at("backward_targets"), row, i), same(i - 1) ? at(batch.ids, row, i - 1) : ignored_target);
        else EXPECT_EQ(at(batch.tensors.at("backward_targets"), row, 0), ignored_target);
        if (i < 31) EXPECT_EQ(at(batch.tensors.at("targets"), row, i), same(i + 1) ? at(batch.ids, row, i + 1) : ignored_target);
      }
    EXPECT_EQ(batch.counts.at("backward"), (batch.tensors.at("backward_targets") != ignored_target).sum().item<std::int64_t>());
  }
}

}  // namespace
}  // namespace isotrope

#include "isotrope/train/train.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/memory_use.h"
#include "isotrope/data/token_file.h"
#include "isotrope/io/model_path.h"
#include "isotrope/io/safetensors.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/session.h"
#include "tests/engine_support.h"
#include "tests/train/small_run.h"

namespace isotrope {
namespace {

class Train : public test::SmallRun {};

TEST_F(Train, LearnsAndLeavesACompleteRun) {
  auto c = config("run", 60);
  c.checkpoint.every = 20, c.checkpoint.keep = 2;
  const auto result = train(c);
  const auto steps = records(c.run.folder, "step");
  ASSERT_EQ(steps.size(), 60u);
  EXPECT_LT(steps.back()["loss"].get<double>(), 0.6 * steps.front()["loss"].get<double>());
  EXPECT_LT(result.measures.at("validation_nll"), 3.0);
  EXPECT_EQ(records(c.run.folder, "eval").size(), 10u);
  EXPECT_TRUE(fs::exists(fs::path(c.run.folder) / "config.toml"));
  EXPECT_FALSE(fs::exists(fs::path(c.run.folder) / "checkpoints/step-20"));  // rotated away
  EXPECT_TRUE(fs::exists(fs::path(c.run.folder) / "checkpoints/step-40"));
  EXPECT_EQ(records(c.run.folder, "end").back()["reason"], "done");
  const auto model = load_model(result.checkpoint);
  EXPECT_EQ(model->parameters().options().dtype(), at::kFloat);  // masters, whatever the model computed in
  EXPECT_EQ(load_tokenizer(result.checkpoint)->fingerprint(), byte_tokenizer()->fingerprint());
}

TEST_F(Train, SameSeedSameBitsAndAnotherSeedOtherBits) {
  for (const std::string precision : {"bf16", "fp32"}) {
    auto a = config("a-" + precision), b = config("b-" + precision), c = config("c-" + precision);
    a.train.precision = b.train.precision = c.train.precision = precision;
    c.train.seed = 1;
    train(a), train(b), train(c);
    EXPECT_EQ(bytes_of(a.run.folder), bytes_of(b.run.folder));
    EXPECT_NE(bytes_of(a.run.folder), bytes_of(c.run.folder));
  }
}

TEST_F(Train, AResumedRunEqualsAnUninterruptedOneBitForBit) {
  for (const std::string precision : {"bf16", "fp32"}) {
    auto whole = config("whole-" + precision), parts = config("parts-" + precision);
    whole.train.precision = parts.train.precision = precision;
    train(whole);
    const fs::path run = parts.run.folder;
    struct StopAt : test::Watcher {
      void after_update(const StepView& view) override {
        if (view.step == 7) throw WorkError("test", "crash");  // two steps past the checkpoint of step 5
      }
    } crash;
    EXPECT_THROW(train(parts, {.observers = {&crash}}), WorkError);
    EXPECT_EQ(newest_checkpoint(run)->filename(), "step-5");
    train(parts, {.resume = true});
    EXPECT_EQ(bytes_of(run), bytes_of(whole.run.folder)) << precision;
    EXPECT_EQ(bytes_of(run, "optimizer.safetensors"), bytes_of(whole.run.folder, "optimizer.safetensors")) << precision;
    const auto a = records(run, "step"), b = records(whole.run.folder, "step");
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i]["loss"], b[i]["loss"]) << i;
  }
}

TEST_F(Train, AnySplitOfTheBatchGivesTheSameGradient) {
  const auto weights_after_one_step = [&](std::int64_t micro, bool mask) {
    auto c = config("split-" + std::to_string(micro) + (mask ? "m" : ""), 1);
    c.train.precision = "fp32", c.train.micro_batch_size = micro, c.data.document_mask = mask, c.schedule.warmup_steps = 0;
    struct Keep : test::Watcher {
      at::Tensor gradients;
      void after_update(const StepView& view) override { gradients = view.gradients.flat().clone(); }
    } keep;
    train(c, {.observers = {&keep}});
    return keep.gradients;
  };
  for (const bool mask : {false, true}) {
    const auto whole = weights_after_one_step(0, mask);
    for (const std::int64_t micro : {1, 2, 4})  // 4 + 2 is uneven; with the mask every part counts another number of tokens
      EXPECT_LT(test::relative(weights_after_one_step(micro, mask), whole), 7e-7) << micro << ' ' << mask;
  }
}

/// From step 4 on the model computes with a number that is not finite.
struct PoisonAfterThree : test::Watcher {
  double value;
  explicit PoisonAfterThree(double poison) : value(poison) {}
  void after_update(const StepView& view) override {
    if (view.step == 3) view.parameters.segment("model.norm.weight").in(view.parameters.working()).fill_(value);
  }
};

TEST_F(Train, ANonFiniteLossIsNamedSkippedAndInTheEndFatalUnderEveryRule) {
  for (const std::string rule : {"adamw", "muon", "spectra"})
    for (const double value : {std::nan(""), HUGE_VAL}) {
      auto c = config(fmt::format("{}-{}", rule, value), 10);
      c.optimizer.name = rule, c.train.max_skipped = 2, c.checkpoint.every = 2;
      PoisonAfterThree poison(value);
      EXPECT_THROW(
          {
            try {
              train(c, {.observers = {&poison}});
            } catch (const WorkError& error) {
              EXPECT_NE(std::string(error.what()).find("step-2"), std::string::npos) << error.what();
              throw;
            }
          },
          WorkError);
      const auto skips = records(c.run.folder, "skip");
      EXPECT_EQ(skips.size(), 3u);
      for (const auto& skip : skips) EXPECT_FALSE(skip["tensor"].get<std::string>().empty());
      EXPECT_EQ(records(c.run.folder, "end").back()["reason"], "failed");
      EXPECT_EQ(newest_checkpoint(c.run.folder)->filename(), "step-2");
    }
}

TEST_F(Train, ARunWhoseLastStepsWereNotFiniteSavesNothingMore) {
  auto c = config("bad-end", 4);
  c.checkpoint.every = 2;
  struct Poison : test::Watcher {
    void after_update(const StepView& view) override {
      if (view.step == 2) view.parameters.working().fill_(std::nan(""));
    }
  } poison;
  EXPECT_THROW(train(c, {.observers = {&poison}}), WorkError);
  EXPECT_FALSE(fs::exists(fs::path(c.run.folder) / "checkpoints/step-4"));
}

TEST_F(Train, WhatAKilledProcessWasWritingIsRemovedOnResume) {
  auto c = config("leftovers", 4);
  c.checkpoint.every = 2;
  train(c);
  const fs::path run = c.run.folder;
  for (const auto* name : {".step-3.partial-123", ".step-2.removed-123", ".step-4.replaced-9"})
    create_folders(run / "checkpoints" / name, "test");
  write_file(run / "config.toml.partial-77", "half", "test");
  c.train.steps = 6;
  train(c, {.resume = true});
  for (const auto& entry : fs::recursive_directory_iterator(run))
    for (const auto* part : {".partial-", ".removed-", ".replaced-"})
      EXPECT_EQ(entry.path().filename().string().find(part), std::string::npos) << entry.path();
  EXPECT_EQ(newest_checkpoint(run)->filename(), "step-6");
}

TEST_F(Train, AModelPaddedPastItsTokenizerCanWriteSamples) {
  auto c = config("padded", 2);
  write_file(folder_ / "padded.json",
             R"({"architectures": ["LlamaForCausalLM"], "vocab_size": 4000, "hidden_size": 32, "intermediate_size": 48,
                 "num_hidden_layers": 1, "num_attention_heads": 4, "max_position_embeddings": 64})",
             "test");
  c.model.config = (folder_ / "padded.json").string();
  c.observe.samples = 1, c.sample.max_tokens = 40, c.sample.prompt = "the";
  train(c);
  EXPECT_EQ(records(c.run.folder, "sample").size(), 2u);
}

TEST_F(Train, EvaluationKeepsDocumentsApartWhenTrainingDoes) {
  auto apart = config("apart", 6), together = config("together", 6);
  apart.data.document_mask = true;
  train(apart), train(together);
  const auto a = records(apart.run.folder, "eval").back(), b = records(together.run.folder, "eval").back();
  // A document's first token is not predicted from the one before: 20 documents begin in the file, the first of them at its first token.
  EXPECT_EQ(a["tokens"].get<int>(), b["tokens"].get<int>() - 19);
}

TEST_F(Train, RefusesWhatDoesNotFitTogether) {
  const auto message = [](const RunConfig& c, bool resume = false) {
    try {
      train(c, {.resume = resume});
    } catch (const Error& error) {
      return error.message();
    }
    return std::string("no error");
  };
  auto done = config("twice", 1);
  train(done);
  EXPECT_NE(message(done).find("holds a run already"), std::string::npos);
  EXPECT_NE(message(config("nothing"), true).find("holds no run"), std::string::npos);
  auto seed = done;
  seed.train.seed = 5, seed.train.steps = 3;
  EXPECT_NE(message(seed, true).find("cannot change"), std::string::npos);
  auto longer = config("longer");
  longer.train.context = 65;
  EXPECT_NE(message(longer).find("exceeds the model's 64 positions"), std::string::npos);
  auto small = config("small");
  write_file(folder_ / "small.json",
             R"({"architectures": ["LlamaForCausalLM"], "vocab_size": 100, "hidden_size": 32, "intermediate_size": 48,
      "num_hidden_layers": 1, "num_attention_heads": 4})",
             "test");
  small.model.config = (folder_ / "small.json").string();
  EXPECT_NE(message(small).find("vocab_size is 100"), std::string::npos);
  auto device = config("device");
  device.train.device = "gpu";
  EXPECT_NE(message(device).find("gpu is not a device"), std::string::npos);
}

TEST_F(Train, ATimeLimitEndsTheSessionWithACheckpoint) {
  auto c = config("time", 1000000);
  c.train.max_minutes = 0.5 / 60, c.checkpoint.every = 0, c.observe.evaluation = 0;
  const auto result = train(c);
  EXPECT_LT(result.steps, 1000000);
  EXPECT_EQ(records(c.run.folder, "end").back()["reason"], "time");
  EXPECT_EQ(newest_checkpoint(c.run.folder), result.checkpoint);
}

TEST_F(Train, WritesTheSizeOfItsWeights) {
  auto c = config("sized", 4);
  c.observe.weights = 2;
  const auto result = train(c);
  const auto written = records(result.folder, "weights");
  ASSERT_EQ(written.size(), 2u);
  EXPECT_EQ(written[1]["step"], 4);
  const SafetensorsFile model(result.checkpoint / "model.safetensors");
  double squares = 0, count = 0;
  for (const auto& view : model.tensors()) {
    const auto weights = tensor_of(view).to(at::kDouble);
    if (weights.dim() != 2) continue;
    const double rms = std::sqrt(weights.square().mean().item<double>());
    EXPECT_NEAR(written[1]["matrices"].at(view.name).get<double>(), rms, 1e-9) << view.name;
    if (view.name.find("embed_tokens") == std::string::npos)
      squares += weights.square().sum().item<double>(), count += static_cast<double>(weights.numel());
  }
  EXPECT_NEAR(written[1]["rms"]["matrix"].get<double>(), std::sqrt(squares / count), 1e-9);
  EXPECT_TRUE(written[1]["rms"].contains("embedding"));
  EXPECT_TRUE(written[1]["rms"].contains("vector"));
}

TEST_F(Train, ACheckpointIsRecordedOnlyWhenItIsWhole) {
  auto c = config("recorded", 9);
  c.checkpoint.every = 1, c.checkpoint.keep = 3;
  const auto result = train(c);
  const auto written = records(result.folder, "checkpoint");
  ASSERT_EQ(written.size(), 9u);
  for (std::size_t i = 0; i < written.size(); ++i) EXPECT_EQ(written[i]["step"], i + 1);
  EXPECT_EQ(all_checkpoints(result.folder).size(), 3u);
  EXPECT_EQ(result.checkpoint, newest_checkpoint(result.folder).value());
}

TEST_F(Train, ACheckpointThatCannotBeWrittenEndsTheRun) {
  auto c = config("unwritable", 9);
  c.checkpoint.every = 4;
  fs::create_directories(folder_ / "unwritable");
  write_file(folder_ / "unwritable" / "checkpoints", "a file where a folder should be", "test");
  EXPECT_THROW(train(c), Error);
  EXPECT_EQ(records(c.run.folder, "end").at(0)["reason"], "failed");
}

TEST_F(Train, TouchesNoNewPagesAfterItsSecondStep) {
  auto c = config("pages", 30);
  c.observe.evaluation = 0, c.checkpoint.every = 0, c.observe.weights = 0;
  ::mallopt(M_MMAP_THRESHOLD, 1 << 14);  // so that an activation in memory that is not kept is new pages every time
  struct Faults final : test::Watcher {
    std::vector<std::int64_t> seen, resident;
    void after_update(const StepView&) override {
      rusage usage{};
      ::getrusage(RUSAGE_SELF, &usage);
      seen.push_back(usage.ru_minflt);
      resident.push_back(resident_bytes());
    }
  } faults;
  train(c, {.observers = {&faults}});
  ASSERT_EQ(faults.seen.size(), 30u);
  EXPECT_LT(faults.seen.back() - faults.seen[1], 100);  // 28 steps; a single activation of a small model is 6 pages
  EXPECT_LT(faults.resident.back() - faults.resident[1], 400'000);
}

TEST_F(Train, TwoProcessesCannotShareARunFolder) {
  auto c = config("shared", 1);
  create_folders(c.run.folder, "test");
  const FileLock lock(fs::path(c.run.folder) / ".lock", "test");
  EXPECT_THROW(train(c), WorkError);
}

}  // namespace
}  // namespace isotrope

// The state-space families in the training loop.
#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/data/token_file.h"
#include "isotrope/io/model_path.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/plan.h"
#include "isotrope/train/train.h"
#include "tests/engine_support.h"
#include "tests/train/small_run.h"

namespace isotrope {
namespace {

const std::vector<std::string> families{
    R"({"model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"], "vocab_size": 257, "hidden_size": 32, "num_hidden_layers": 2,
        "num_heads": 4, "head_dim": 16, "n_groups": 2, "state_size": 16, "residual_in_fp32": false, "initializer_range": 0.02})",
    R"({"model_type": "falcon_h1", "architectures": ["FalconH1ForCausalLM"], "vocab_size": 257, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "mamba_d_ssm": 48,
        "mamba_n_heads": 3, "mamba_d_state": 16, "mamba_rms_norm": true, "lm_head_multiplier": 0.5, "embedding_multiplier": 4})"};

class TrainStateSpace : public testing::Test {
 protected:
  TrainStateSpace() {
    set_verbosity(Verbosity::quiet);
    const auto tokenizer = byte_tokenizer();
    TokenFileWriter writer(folder_ / "train.tokens", {.vocab_size = tokenizer->vocab_size(),
                                                      .eos = tokenizer->eos(),
                                                      .fingerprint = tokenizer->fingerprint(),
                                                      .tokenizer_name = "bytes"});
    for (int i = 0; i < 200; ++i) {
      writer.add(tokenizer->encode("the number " + std::to_string(i * 7 % 13) + " follows the number " + std::to_string(i % 5) + ". "));
      writer.add(std::vector<TokenId>{*tokenizer->eos()});
      writer.end_document();
    }
    writer.finish(), writer.commit();
  }
  RunConfig config(const std::string& model, const std::string& run) const {
    write_file(folder_ / "model.json", model, "test");
    RunConfig c;
    c.run.folder = (folder_ / run).string();
    c.model.config = (folder_ / "model.json").string();
    c.data.train = (folder_ / "train.tokens").string();
    c.data.tokenizer = "bytes", c.data.document_mask = true;
    c.train.steps = 30, c.train.batch_size = 6, c.train.context = 64, c.train.threads = 2;
    c.optimizer.lr = 1e-2;
    c.schedule.warmup_steps = 3;
    c.checkpoint.every = 15;
    return c;
  }
  static std::string bytes_of(const std::string& run) { return read_file(newest_checkpoint(run).value() / "model.safetensors", "test"); }
  test::TestFolder folder_;
};

TEST_F(TrainStateSpace, LearnsAndIsResumedBitForBit) {
  for (std::size_t i = 0; i < families.size(); ++i)
    for (const auto* precision : {"fp32", "bf16"}) {
      SCOPED_TRACE(std::to_string(i) + precision);
      const auto name = precision + std::to_string(i);
      auto whole = config(families[i], "whole-" + name);
      whole.train.precision = precision;
      train(whole);
      std::vector<double> losses;
      for (const auto& record : read_run_log(whole.run.folder).records)
        if (record["type"] == "step") losses.push_back(record["loss"]);
      ASSERT_EQ(losses.size(), 30u);
      EXPECT_GT(losses.front(), 5.0);
      EXPECT_LT(losses.back(), 0.55 * losses.front());
      auto part = whole;
      part.run.folder = (folder_ / ("part-" + name)).string();
      struct StopAt : test::Watcher {
        void after_update(const StepView& view) override {
          if (view.step == 20) throw WorkError("test", "crash");
        }
      } crash;
      EXPECT_THROW(train(part, {.observers = {&crash}}), WorkError);
      train(part, {.resume = true});
      EXPECT_EQ(bytes_of(whole.run.folder), bytes_of(part.run.folder));
    }
}

TEST_F(TrainStateSpace, APlanCountsTheRecurrence) {
  const auto plan = plan_run(config(families[1], "run"), 0);
  EXPECT_EQ(plan.family, "falcon_h1");
  // 5 a number of state and 2 a tap and channel, three times, in each of two layers.
  EXPECT_EQ(plan.flops.recurrence, 3.0 * 2 * (5 * 48 * 16 + 2 * 4 * (48 + 2 * 16)));
  EXPECT_GT(plan.flops.attention, 0);
  auto mamba = config(families[0], "run");
  mamba.train.context = 64;
  const auto recurrent = plan_run(mamba, 0);
  EXPECT_EQ(recurrent.flops.attention, 0);
  EXPECT_EQ(recurrent.flops.recurrence, 3.0 * 2 * (5 * 64 * 16 + 2 * 4 * (64 + 4 * 16)));
  auto older = to_json(plan);
  older["flops_per_token"].erase("recurrence");
  write_file(folder_ / "plan.json", older.dump(), "test");
  EXPECT_EQ(read_plan(folder_ / "plan.json").flops.recurrence, 0);
}

}  // namespace
}  // namespace isotrope

#include "isotrope/train/plan.h"

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/data/token_file.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/train.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::TestFolder;

class Plan : public testing::Test {
 protected:
  Plan() {
    set_verbosity(Verbosity::quiet);
    write_tokens("train.tokens", 4000);
    write_tokens("validation.tokens", 500);
    write_file(
        folder_ / "model.json",
        R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 257, "hidden_size": 32, "intermediate_size": 48,
                   "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64})",
        "test");
    config_.run.folder = (folder_ / "run").string();
    config_.model.config = (folder_ / "model.json").string();
    config_.data.train = (folder_ / "train.tokens").string();
    config_.data.validation = (folder_ / "validation.tokens").string();
    config_.data.tokenizer = "bytes";
    config_.train.steps = 11, config_.train.batch_size = 3, config_.train.context = 32, config_.train.threads = 2;
    config_.observe.evaluation = 4, config_.eval.batch_size = 4, config_.checkpoint.every = 5;
  }
  void write_tokens(const char* name, std::size_t count) const {
    const auto tokenizer = byte_tokenizer();
    TokenFileWriter writer(folder_ / name, {.vocab_size = tokenizer->vocab_size(), .fingerprint = tokenizer->fingerprint()});
    std::vector<TokenId> ids(count);
    for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<TokenId>(i * i % 101);
    writer.add(ids), writer.end_document(), writer.finish(), writer.commit();
  }
  std::size_t count_records(const char* type) const {
    const auto all = read_run_log(folder_ / "run").records;
    return static_cast<std::size_t>(std::ranges::count_if(all, [&](const auto& record) { return record["type"] == type; }));
  }
  TestFolder folder_;
  RunConfig config_;
};

TEST_F(Plan, CountsTheOperationsOfATokenAsTorchDoes) {
  const auto plan = plan_run(config_, 0);
  // torch.utils.flop_counter over forward and backward of the same LlamaForCausalLM: its aten.mm and aten.bmm, attention apart.
  EXPECT_EQ(plan.flops.matrices, 92160);
  EXPECT_EQ(plan.flops.head, 49344);
  // Scores and mixtures, each 2 · head size operations a pair, three times (forward and two gradients), over the pairs of the causal
  // triangle.
  double pairs = 0;
  for (int query = 0; query < 32; ++query) pairs += query + 1;
  EXPECT_DOUBLE_EQ(plan.flops.attention, 2 * 3 * 2 * 2 * 4 * 8 * pairs / 32);
}

TEST_F(Plan, CountsParametersAndBytes) {
  const auto plan = plan_run(config_, 0);
  const std::int64_t matrices = 2 * (32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 48 * 32), vectors = 5 * 32, embedding = 257 * 32;
  EXPECT_EQ(plan.parameters, (std::map<std::string, std::int64_t>{
                                 {"matrix", matrices}, {"embedding", embedding}, {"head", embedding}, {"vector", vectors}}));
  EXPECT_EQ(plan.parameter_count, matrices + vectors + 2 * embedding);
  EXPECT_EQ(plan.weight_bytes, 6 * plan.parameter_count);
  EXPECT_EQ(plan.family, "llama");
  EXPECT_FALSE(plan.calibration);
  EXPECT_EQ(plan.training_tokens, 4000);
  config_.train.precision = "fp32";
  EXPECT_EQ(plan_run(config_, 0).weight_bytes, 4 * plan.parameter_count);
}

TEST_F(Plan, ForeseesWhatARunThenDoes) {
  const auto plan = plan_run(config_, 3);
  train(config_);
  EXPECT_EQ(count_records("eval"), static_cast<std::size_t>(plan.evaluations));
  EXPECT_EQ(count_records("checkpoint"), static_cast<std::size_t>(plan.checkpoints_written));
  EXPECT_EQ(plan.evaluation_batches, 4);  // 499 predicted tokens in windows of 32, 4 windows a batch
  const auto run = measure_run(folder_ / "run");
  EXPECT_EQ(run.steps, plan.steps);
  EXPECT_EQ(static_cast<double>(run.tokens), plan.tokens());
  EXPECT_EQ(run.ended, "done");
  EXPECT_GT(run.tokens_per_second, 0);
  EXPECT_GT(run.peak_bytes, 0);
  ASSERT_TRUE(plan.calibration);
  EXPECT_EQ(plan.calibration->steps, 3);
  EXPECT_GT(plan.training_seconds(), 0);
  EXPECT_GT(plan.evaluation_seconds(), 0);
  // The optimizer's buffers, as a checkpoint stores them.
  const auto stored = fs::file_size(folder_ / "run/checkpoints/step-11/optimizer.safetensors");
  EXPECT_NEAR(static_cast<double>(plan.optimizer_bytes), static_cast<double>(stored), 8192);
}

TEST_F(Plan, DoesNotNeedTheDataAndWritesNothing) {
  config_.data.train = (folder_ / "later.tokens").string();
  config_.data.validation.clear();
  const auto plan = plan_run(config_, 1);
  EXPECT_EQ(plan.training_tokens, 0);
  EXPECT_EQ(plan.evaluations, 0);
  EXPECT_TRUE(plan.calibration);
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(Plan, EndsTrainingAtTheLimitOfMinutes) {
  auto plan = plan_run(config_, 0);
  plan.calibration = Calibration{.steps = 1, .step_seconds = 10};
  EXPECT_EQ(plan.training_seconds(), 110);
  plan.max_seconds = 60;
  EXPECT_EQ(plan.training_seconds(), 60);
}

TEST_F(Plan, SurvivesItsFile) {
  const auto plan = plan_run(config_, 1);
  write_file(folder_ / "plan.json", to_json(plan).dump(), "test");
  EXPECT_EQ(to_json(read_plan(folder_ / "plan.json")), to_json(plan));
  auto newer = to_json(plan);
  newer["format"] = 2;
  write_file(folder_ / "plan.json", newer.dump(), "test");
  EXPECT_THROW(read_plan(folder_ / "plan.json"), InputError);
  write_file(folder_ / "plan.json", "{\"format\": 1}", "test");
  EXPECT_THROW(read_plan(folder_ / "plan.json"), InputError);
  // Numbers that nothing can be computed from, and what is no number or text at all.
  for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{{"/calibration/step_seconds", 0},
                                                                                      {"/calibration/step_seconds", 1e300},
                                                                                      {"/steps", -1},
                                                                                      {"/tokens_per_step", "many"},
                                                                                      {"/settings/train.steps", 5},
                                                                                      {"/parameters/matrix", -3}}) {
    auto broken = to_json(plan);
    broken[nlohmann::json::json_pointer(key)] = value;
    write_file(folder_ / "plan.json", broken.dump(), "test");
    EXPECT_THROW(read_plan(folder_ / "plan.json"), InputError) << key;
  }
}

TEST_F(Plan, RefusesAModelThatTheRunWouldRefuse) {
  config_.train.context = 65;
  EXPECT_THROW(plan_run(config_, 0), InputError);
}

}  // namespace
}  // namespace isotrope

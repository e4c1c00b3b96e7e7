// Runs whose matrices have additions: learnable multipliers, low-rank factors.
#include "isotrope/nn/additions.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/io/safetensors.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/train/plan.h"
#include "tests/io/temporary_folder.h"
#include "tests/train/small_run.h"

namespace isotrope {
namespace {

class AdditionRuns : public test::SmallRun {
 protected:
  static const std::vector<std::string> down_projections() { return {"*.mlp.down_proj.weight"}; }

  RunConfig with_multipliers(const std::string& run, std::int64_t steps = 12) const {
    auto c = config(run, steps);
    c.multipliers.rows = {"*_proj.weight", "model.embed_tokens.weight"}, c.multipliers.columns = down_projections(),
    c.multipliers.scalars = {"*.q_proj.weight"};
    c.train.precision = "fp32";
    return c;
  }
  RunConfig with_lora(const std::string& run, std::int64_t steps = 12) const {
    auto c = config(run, steps);
    c.lora.targets = {"*.q_proj.weight", "*.v_proj.weight", "*.down_proj.weight"}, c.lora.rank = 3, c.lora.alpha = 5;
    c.train.precision = "fp32";
    return c;
  }

  /// The checkpoint's tensor, as training had it where it is in masters.safetensors.
  static at::Tensor stored(const fs::path& folder, const std::string& name) {
    const TensorFolder tensors(folder);
    const auto* view = tensors.find(name);
    return view ? tensor_of(*view).clone() : at::Tensor();
  }
  static at::Tensor master(const fs::path& run, const std::string& name) {
    return stored(newest_checkpoint(run).value() / "masters.safetensors", name);
  }
  static at::Tensor weight(const fs::path& run, const std::string& name) { return stored(newest_checkpoint(run).value(), name); }
};

TEST_F(AdditionRuns, MultipliersAreTrainedAndMergedIntoAnOrdinaryFolder) {
  const auto c = with_multipliers("multipliers");
  train(c);
  const std::string module = "model.layers.1.mlp.down_proj";
  const auto W = master(c.run.folder, module + ".weight"), r = master(c.run.folder, module + ".row_multiplier"),
             column = master(c.run.folder, module + ".column_multiplier");
  EXPECT_GT((r - 1).abs().max().item<double>(), 1e-3) << "they move";
  EXPECT_GT((column - 1).abs().max().item<double>(), 1e-3);
  EXPECT_TRUE(at::allclose(weight(c.run.folder, module + ".weight"), r.unsqueeze(1) * W * column, 1e-6, 1e-8));
  EXPECT_FALSE(weight(c.run.folder, module + ".row_multiplier").defined());
  EXPECT_FALSE(master(c.run.folder, "model.norm.weight").defined()) << "what has no additions is stored once";
  // The folder is an ordinary model, and says what the run's own evaluation said.
  const auto model = load_model(newest_checkpoint(c.run.folder).value());
  EXPECT_EQ(model->parameters().find(module + ".row_multiplier"), nullptr);
  auto again = config("evaluation", 1);
  again.model.config = "", again.model.init_from = newest_checkpoint(c.run.folder).value().string();
  again.optimizer.lr = 0, again.train.precision = "fp32", again.observe.evaluation = 1;
  const auto before = records(c.run.folder, "eval").back()["nll"].get<double>();
  train(again);
  EXPECT_NEAR(records(again.run.folder, "eval").back()["nll"].get<double>(), before, 1e-6);
}

TEST_F(AdditionRuns, LowRankFactorsAloneAreTrained) {
  auto c = with_lora("lora");
  c.observe.evaluation = 0;
  train(c);
  const auto start = test::SmallRun::config("start");
  const auto model = make_model(nlohmann::json::parse(read_file(c.model.config, "test")), {}, "model.json");
  initialize_(model->parameters(), static_cast<std::uint64_t>(c.train.seed));
  int adapted = 0;
  for (const auto& parameter : model->parameters().all()) {
    const auto W = master(c.run.folder, parameter.name);
    EXPECT_TRUE(at::equal(W.defined() ? W : weight(c.run.folder, parameter.name), parameter.value)) << parameter.name << " stays as it is";
    if (!W.defined()) continue;
    const auto module = parameter.name.substr(0, parameter.name.size() - std::string(".weight").size());
    const auto A = master(c.run.folder, module + ".lora_A.weight"), B = master(c.run.folder, module + ".lora_B.weight");
    EXPECT_GT(B.abs().max().item<double>(), 1e-3) << module;
    EXPECT_TRUE(at::allclose(weight(c.run.folder, parameter.name), W + 5.0 / 3 * at::mm(B, A), 1e-5, 1e-7)) << module;
    ++adapted;
  }
  EXPECT_EQ(adapted, 6);
  const auto losses = records(c.run.folder, "step");
  EXPECT_LT(losses.back()["loss"].get<double>(), losses.front()["loss"].get<double>());
}

TEST_F(AdditionRuns, ResumedRunsEndWithTheSameBits) {
  for (const std::string precision : {"fp32", "bf16"})
    for (const bool lora : {false, true}) {
      const auto name = precision + (lora ? "lora" : "multipliers");
      auto whole = lora ? with_lora("whole-" + name) : with_multipliers("whole-" + name);
      auto parts = lora ? with_lora("parts-" + name, 7) : with_multipliers("parts-" + name, 7);
      whole.train.precision = parts.train.precision = precision;
      whole.schedule.name = parts.schedule.name = "constant";
      train(whole);
      train(parts);
      parts.train.steps = 12;
      train(parts, {.resume = true});
      for (const std::string file : {"model.safetensors", "masters.safetensors", "optimizer.safetensors"})
        EXPECT_EQ(bytes_of(whole.run.folder, file), bytes_of(parts.run.folder, file)) << name << ' ' << file;
    }
}

TEST_F(AdditionRuns, AResumeWithOtherAdditionsIsRefusedByName) {
  auto c = with_multipliers("run", 5);
  train(c);
  c.train.steps = 12;
  const auto message = [&](const auto& change) {
    auto changed = c;
    change(changed);
    return test::message_of([&] { train(changed, {.resume = true}); });
  };
  EXPECT_NE(message([](RunConfig& o) { o.multipliers.scalars.clear(); }).find("belongs to no addition of this run"), std::string::npos);
  EXPECT_NE(message([](RunConfig& o) { o.multipliers.scalars = {"*"}; }).find("is missing"), std::string::npos);
  EXPECT_NE(
      message([](RunConfig& o) { o.multipliers.rows = {"nothing"}; }).find("multipliers.rows: no matrix of the model is called nothing"),
      std::string::npos);
  fs::remove(newest_checkpoint(c.run.folder).value() / "masters.safetensors");
  EXPECT_NE(message([](RunConfig&) {}).find("masters.safetensors: is missing"), std::string::npos);
}

TEST_F(AdditionRuns, EveryUpdateRuleTrainsThem) {
  for (const std::string rule : {"muon", "spectra"}) {
    auto c = with_multipliers(rule, 6), factors = with_lora("lora-" + rule, 6);
    c.optimizer.name = factors.optimizer.name = rule;
    train(c);
    EXPECT_GT((master(c.run.folder, "model.layers.0.mlp.down_proj.row_multiplier") - 1).abs().max().item<double>(), 1e-3) << rule;
    train(factors);
    EXPECT_GT(master(factors.run.folder, "model.layers.0.mlp.down_proj.lora_B.weight").abs().max().item<double>(), 1e-3) << rule;
  }
}

TEST_F(AdditionRuns, MultipliersOfATiedEmbeddingHaveTheGradientOfBothItsUses) {
  const auto json = nlohmann::json::parse(read_file(config("any").model.config, "test"));
  const auto ids = at::arange(9, at::kLong).unsqueeze(0), targets = at::arange(1, 10, at::kLong);
  std::vector<at::Tensor> found[2];
  for (const auto type : {at::kFloat, at::kDouble}) {
    const auto model = make_model(json, {.dtype = type}, "model.json");
    initialize_(model->parameters(), 3);
    add_multipliers(model->parameters(), {.rows = {"model.embed_tokens.weight"}, .columns = {"model.embed_tokens.weight"}});
    const auto& slot = *model->parameters().find("model.embed_tokens.weight")->slot;
    EXPECT_EQ(&slot, model->head().slot.get());
    const auto hidden = model->forward_ids(ids).flatten(0, 1);
    // In float64 the loss is composed of tensor operations; in fp32 it goes through the kernels.
    head_loss(model->head_input(hidden), model->head(), targets).loss.backward();
    found[type == at::kDouble] = {slot.weight.grad(), slot.row.grad(), slot.column.grad()};
  }
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_LT((found[0][i].to(at::kDouble) - found[1][i]).norm().item<double>(), 1e-5 * found[1][i].norm().item<double>()) << i;
}

TEST_F(AdditionRuns, PlansCountWhatTheyNeed) {
  for (const auto& c : {with_multipliers("multipliers", 5), with_lora("lora", 5)}) {
    const auto plan = plan_run(c, 0);
    train(c);
    std::int64_t bytes = 0;
    for (const auto& file : {newest_checkpoint(c.run.folder).value(), newest_checkpoint(c.run.folder).value() / "masters.safetensors"}) {
      const TensorFolder stored(file);
      for (const auto& tensor : stored.tensors()) bytes += static_cast<std::int64_t>(tensor.bytes.size());
    }
    EXPECT_EQ(plan.checkpoint_bytes - plan.optimizer_bytes, bytes);
    if (!c.lora.targets.empty()) EXPECT_LT(plan.gradient_bytes, plan.weight_bytes / 8) << "what is frozen has no gradient";
  }
}

TEST_F(AdditionRuns, SettingsThatContradictEachOtherAreNamed) {
  const auto message = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"model.config=m.json", "data.train=t.tokens"});
    return test::message_of([&] { read_run_config("", more); });
  };
  EXPECT_EQ(message({R"(lora.targets=["*"])", "lora.rank=4"}), "");
  EXPECT_NE(message({"lora.rank=4"}).find("lora.rank and lora.alpha have no effect without lora.targets"), std::string::npos);
  EXPECT_NE(message({R"(lora.targets=["*"])", R"(multipliers.rows=["*"])"}).find("multipliers.* beside lora.targets"), std::string::npos);
}

}  // namespace
}  // namespace isotrope

// Every folder of tests/data/task_heads was written by transformers (tools/oracles/task_head_goldens.py), with what transformers computes
// from it.
#include "isotrope/models/task_head.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"
#include "isotrope/models/checkpoint.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::relative_max;

struct HeadCase {
  explicit HeadCase(const fs::path& folder)
      : name(folder.filename().string()), expected(folder / "expected.safetensors"), model(load_model(folder)) {}

  at::Tensor logits(Model& of, const Dropout& dropout = {}) const {
    const auto mask = expected("mask"), types = expected.has("types") ? expected("types") : at::Tensor();
    const auto hidden = of.forward_ids(expected("ids"), {.documents = mask - 1, .token_types = types});
    return (*of.task_head())(hidden, mask, dropout);
  }

  std::string name;
  test::Goldens expected;
  std::unique_ptr<Model> model;
};

std::vector<fs::path> head_folders() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(test::source("data/task_heads"))) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

TEST(TaskHeads, CoverEveryFamilyThatTransformersHasOneFor) {
  std::set<std::string> types;
  for (const auto& folder : head_folders()) types.insert(read_json(folder / "config.json", "test")["model_type"].get<std::string>());
  const std::set<std::string> without{"elmo", "falcon_h1", "mamba2"};  // transformers has no such class
  for (const auto& type : known_model_types()) EXPECT_NE(types.contains(type), without.contains(type)) << type;
}

TEST(TaskHeads, LogitsOfPaddedTextsEqualTransformers) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : head_folders()) {
    HeadCase c(folder);
    ASSERT_TRUE(c.model->task_head()) << c.name;
    EXPECT_LT(relative_max(c.logits(*c.model), c.expected("logits")), 1e-5) << c.name;
    EXPECT_FALSE(c.model->has_head()) << c.name;
  }
}

TEST(TaskHeads, EveryGradientEqualsTransformers) {
  for (const auto& folder : head_folders()) {
    HeadCase c(folder);
    const auto loss = at::cross_entropy_loss(c.logits(*c.model), c.expected("labels"));
    EXPECT_NEAR(loss.item<double>(), c.expected("loss").item<double>(), 1e-5) << c.name;
    loss.backward();
    double whole = 0;
    const auto gradient = [](const Parameter& p) { return p.value.grad().defined() ? p.value.grad() : at::zeros_like(p.value); };
    for (const auto& p : c.model->parameters().all()) whole += gradient(p).to(at::kDouble).square().sum().item<double>();
    for (const auto& p : c.model->parameters().all()) {
      const auto golden = c.expected("grad." + p.name);
      EXPECT_LT((gradient(p) - golden).norm().item<double>(), std::max(1e-5 * golden.norm().item<double>(), 1e-6 * std::sqrt(whole)))
          << c.name << ' ' << p.name;
    }
  }
}

TEST(TaskHeads, SavedFoldersReadBackBitForBitWithTheirLabels) {
  for (const auto& folder : head_folders()) {
    HeadCase c(folder);
    const test::TestFolder out;
    save_model(*c.model, out.path());
    auto again = load_model(out.path());
    for (const auto& p : c.model->parameters().all())
      EXPECT_TRUE(at::equal(p.value, again->parameters().find(p.name)->value)) << c.name << ' ' << p.name;
    EXPECT_EQ(again->task_head()->label_names, c.model->task_head()->label_names) << c.name;
    const auto before = read_json(folder / "config.json", "test"), after = read_json(out / "config.json", "test");
    for (const auto* key : {"architectures", "id2label", "label2id", "problem_type"})
      EXPECT_EQ(before.value(key, nlohmann::json()), after.value(key, nlohmann::json())) << c.name << ' ' << key;
  }
}

TEST(TaskHeads, RatesOfTheirDropoutAct) {
  const at::NoGradGuard no_grad;
  const std::map<std::string, std::string> rates{{"bert", "classifier_dropout"},
                                                 {"roberta", "classifier_dropout"},
                                                 {"distilbert", "seq_classif_dropout"},
                                                 {"albert", "classifier_dropout_prob"},
                                                 {"modernbert_cls", "classifier_dropout"}};
  for (const auto& [name, key] : rates) {
    const auto folder = test::source("data/task_heads") / name;
    const HeadCase c(folder);
    auto config = read_json(folder / "config.json", "test");
    for (const auto& [rate, value] : c.model->dropout_rates()) config[rate] = 0.0;
    ASSERT_TRUE(c.model->dropout_rates().contains(key)) << name;
    for (const double rate : {0.0, 0.5}) {
      config[key] = rate;
      const auto model = make_model(config, {}, "config.json");
      initialize_(model->parameters(), 3);
      EXPECT_EQ(at::equal(c.logits(*model, Dropout(1, 0, 0)), c.logits(*model)), rate == 0) << name;
    }
  }
}

TEST(TaskHeads, LabelsThatContradictEachOtherAreRefused) {
  auto config = read_json(test::source("data/task_heads/bert/config.json"), "test");
  config["num_labels"] = 3;
  EXPECT_EQ(make_model(config, {}, "config.json")->task_head()->labels, 3);
  config["num_labels"] = 4;
  EXPECT_THROW(make_model(config, {}, "config.json"), InputError);
  config.erase("id2label");
  const auto four = make_model(config, {}, "config.json");
  EXPECT_EQ(four->task_head()->label_names.back(), "LABEL_3");
  config["id2label"] = {{"0", "no"}, {"2", "yes"}};
  config.erase("num_labels");
  EXPECT_THROW(make_model(config, {}, "config.json"), InputError);
  config.erase("id2label");
  EXPECT_EQ(make_model(config, {}, "config.json")->task_head()->labels, 2);
}

TEST(TaskHeads, AnArchitectureWithoutOneIsNamed) {
  EXPECT_THROW(make_model({{"architectures", {"Mamba2ForSequenceClassification"}}}, {}, "config.json"), InputError);
}

}  // namespace
}  // namespace isotrope

// What a broken or foreign model folder gets: one message that names file, tensor, expected and found.
#include "isotrope/models/checkpoint.h"

#include <gtest/gtest.h>

#include <map>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/io/safetensors.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::TestFolder;

/// A good tiny folder to be spoiled: its config as JSON and its tensors by name.
class ModelFolder : public testing::Test {
 protected:
  ModelFolder() : original_(test::source("data/models/llama_mqa_biases")) {
    config_ = nlohmann::json::parse(read_file(test::source("data/models/llama_mqa_biases/config.json"), "test"));
    for (const auto& view : original_.tensors()) tensors_.emplace(view.name, view);
  }

  std::string message() {
    write_file(folder_ / "config.json", config_.dump(), "test");
    std::vector<TensorView> views;
    for (const auto& [name, view] : tensors_) views.push_back(view);
    write_safetensors(folder_ / "model.safetensors", views);
    try {
      load_model(folder_.path());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      return error.message();
    }
    return "no error";
  }
  void expect_message(const std::string& part) {
    const auto text = message();
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }

  TestFolder folder_;
  TensorFolder original_;
  nlohmann::json config_;
  std::map<std::string, TensorView> tensors_;
};

TEST_F(ModelFolder, IsGoodBeforeItIsSpoiled) { EXPECT_EQ(message(), "no error"); }

TEST_F(ModelFolder, MissingTensorsAreNamedWithTheirShape) {
  tensors_.erase("model.norm.weight");
  expect_message("tensor model.norm.weight [");
}

TEST_F(ModelFolder, SurplusTensorsAreNamed) {
  auto extra = tensors_.at("model.norm.weight");
  extra.name = "model.layers.0.self_attn.q_norm.weight";
  tensors_.emplace(extra.name, extra);
  expect_message("tensor model.layers.0.self_attn.q_norm.weight");
}

TEST_F(ModelFolder, BuffersOfOlderCheckpointsArePassedOver) {
  auto extra = tensors_.at("model.norm.weight");
  extra.name = "model.layers.0.self_attn.rotary_emb.inv_freq";
  tensors_.emplace(extra.name, extra);
  EXPECT_EQ(message(), "no error");
}

TEST_F(ModelFolder, MisshapenTensorsAreNamedWithBothShapes) {
  config_["vocab_size"] = 7;
  expect_message("tensor model.embed_tokens.weight: expected shape [7, ");
}

TEST_F(ModelFolder, IntegerWeightsAreRefused) {
  tensors_.at("model.norm.weight").dtype = DType::i32;
  expect_message("tensor model.norm.weight has dtype I32");
}

TEST_F(ModelFolder, AnotherHeadThanTheTiedOneIsNotIgnored) {
  config_["tie_word_embeddings"] = true;
  expect_message("lm_head.weight differs from");
  auto same = tensors_.at("model.embed_tokens.weight");
  same.name = "lm_head.weight";
  tensors_.at("lm_head.weight") = same;
  EXPECT_EQ(message(), "no error");
}

TEST_F(ModelFolder, UnknownArchitecturesAreNamedWithTheNearest) {
  config_["architectures"] = {"LLamaForCausalLM"};
  expect_message("architecture LLamaForCausalLM is not supported");
  config_.erase("architectures");
  config_["model_type"] = "mamba9";
  expect_message("architecture mamba9 is not supported");
}

TEST_F(ModelFolder, FieldsThatAskForSomethingElseAreRefused) {
  const auto good = config_;
  for (const auto& [key, value, part] : std::vector<std::tuple<std::string, nlohmann::json, std::string>>{
           {"hidden_act", "gelu", "hidden_act = \"gelu\" is not supported"},
           {"num_key_value_heads", 3, "is not a multiple of num_key_value_heads = 3"},
           {"num_hidden_layers", "two", "num_hidden_layers"},
           {"head_dim", 3, "not even"},
           {"rope_parameters", {{"rope_type", "yarn"}, {"rope_theta", 1e4}, {"factor", 2.0}}, "\"yarn\" is not supported"}}) {
    config_ = good;
    config_[key] = value;
    expect_message(part);
  }
}

TEST(ModelConfigs, ThatContradictThemselvesAreRefused) {
  using Json = nlohmann::json;
  const auto refused = [](const char* architecture, Json changes) {
    Json config{{"architectures", {architecture}},
                {"hidden_size", 16},
                {"intermediate_size", 8},
                {"num_hidden_layers", 2},
                {"num_attention_heads", 4},
                {"vocab_size", 9},
                {"ffn_dim", 8}};
    config.update(changes);
    EXPECT_THROW(make_model(config, {}, "config.json"), InputError) << config;
  };
  refused("GPTNeoXForCausalLM", {{"rotary_pct", 2.0}});
  refused("GPTNeoXForCausalLM", {{"rotary_pct", 0.1}});
  refused("GPTNeoXForCausalLM", {{"num_attention_heads", 3}});
  refused("OPTForCausalLM", {{"num_attention_heads", 3}});
  refused("OPTForCausalLM", {{"layer_norm_elementwise_affine", false}});
  refused("BloomForCausalLM", {{"n_head", 3}});
  refused("MistralForCausalLM", {{"sliding_window", 0}});
  refused("Qwen3ForCausalLM", {{"layer_types", {"full_attention"}}});
  refused("Qwen3ForCausalLM", {{"layer_types", {"full_attention", "odd"}}});
}

}  // namespace
}  // namespace isotrope

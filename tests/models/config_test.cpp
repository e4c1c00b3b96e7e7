// What a config.json may say, and what is said to one that contradicts itself or asks for what is not built.
#include <gtest/gtest.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/models/registry.h"

namespace isotrope {
namespace {

using nlohmann::json;

json llama(const json& changes = json::object()) {
  json config{{"architectures", {"LlamaForCausalLM"}},
              {"vocab_size", 11},
              {"hidden_size", 16},
              {"intermediate_size", 8},
              {"num_hidden_layers", 1},
              {"num_attention_heads", 4}};
  config.update(changes);
  return config;
}

json of(const char* architecture, const json& changes = json::object()) {
  auto config = llama(changes);
  config["architectures"] = {architecture};
  return config;
}

std::unique_ptr<Model> make_from(const json& config) { return make_model(config, {}, "config.json"); }

/// The message of the InputError; empty when there is none.
std::string config_refusal(const json& config) {
  try {
    make_from(config);
  } catch (const InputError& error) {
    return error.message();
  }
  return {};
}

TEST(ModelConfig, ArchitectureAndModelTypeBelongTogether) {
  EXPECT_EQ(config_refusal(llama({{"model_type", "gemma2"}})),
            "config.json: architecture LlamaForCausalLM is of model_type llama, the file says gemma2");
  EXPECT_EQ(config_refusal(llama({{"model_type", "llama"}})), "");
  EXPECT_EQ(make_from(llama())->config()["model_type"], "llama") << "transformers reads no folder without it";
  EXPECT_EQ(config_refusal(of("LlamaForCausalLm")), "config.json: architecture LlamaForCausalLm is not supported");
  EXPECT_EQ(config_refusal(of("T5ForConditionalGeneration")), "config.json: architecture T5ForConditionalGeneration is not supported");
}

TEST(ModelConfig, RopeAsksForNothingThatIsNotBuilt) {
  const auto rope = [](const json& inner) { return config_refusal(llama({{"rope_parameters", inner}})); };
  EXPECT_EQ(rope({{"rope_type", "default"}, {"rope_theta", 5e5}}), "");
  EXPECT_EQ(rope({{"rope_type", "linear"}, {"factor", 2.0}, {"partial_rotary_factor", 1}}), "");
  EXPECT_NE(rope({{"rope_type", "linear"}, {"factor", 2.0}, {"partial_rotary_factor", 0.5}}).find("partial_rotary_factor = 0.5"),
            std::string::npos);
  EXPECT_NE(rope({{"rope_type", "linear"}, {"factor", 2.0}, {"mscale", 2.0}}).find("mscale = 2.0"), std::string::npos);
  EXPECT_NE(rope({{"rope_type", "linear"}, {"factor", 0.0}}).find("factor = 0 is not above 0"), std::string::npos);
  EXPECT_NE(rope({{"rope_type", "default"}, {"rope_theta", -5}}).find("rope_theta = -5 is not above 0"), std::string::npos);
  EXPECT_NE(rope({{"rope_type", "yarn"}, {"factor", 4.0}}).find("\"yarn\" is not supported"), std::string::npos);
  const json linear{{"rope_type", "linear"}, {"factor", 2.0}};
  EXPECT_EQ(config_refusal(llama({{"rope_parameters", linear}, {"rope_scaling", linear}})), "");
  EXPECT_NE(
      config_refusal(llama({{"rope_parameters", linear}, {"rope_scaling", {{"rope_type", "linear"}, {"factor", 4.0}}}})).find("and differ"),
      std::string::npos);
  // Two spellings of one thing; an object that says nothing.
  const auto both = [](const json& newer, const json& older) {
    return config_refusal(llama({{"rope_parameters", newer}, {"rope_scaling", older}}));
  };
  EXPECT_EQ(both({{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 5e5}}, {{"type", "linear"}, {"factor", 2}}), "");
  EXPECT_EQ(both(linear, json::object()), "");
  EXPECT_EQ(both(json::object(), linear), "");
  EXPECT_NE(both({{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 5e5}}, {{"type", "linear"}, {"factor", 2}, {"rope_theta", 1e4}}),
            "");
  testing::internal::CaptureStderr();
  EXPECT_EQ(rope({{"rope_type", "default"}, {"factor", 2.0}}), "");
  EXPECT_NE(testing::internal::GetCapturedStderr().find("factor has no effect in RoPE scaling of type default"), std::string::npos);
  EXPECT_NE(rope({{"rope_type", "llama3"},
                  {"factor", 8.0},
                  {"low_freq_factor", 4.0},
                  {"high_freq_factor", 4.0},
                  {"original_max_position_embeddings", 64}})
                .find("high_freq_factor above low_freq_factor"),
            std::string::npos);
}

TEST(ModelConfig, NumbersHaveTheirRange) {
  EXPECT_EQ(config_refusal(llama({{"rms_norm_eps", -1.0}})), "config.json: rms_norm_eps = -1 is not above 0");
  EXPECT_EQ(config_refusal(llama({{"vocab_size", 1LL << 40}})),
            "config.json: vocab_size = 1099511627776 is out of range (1 to 2147483648)");
  EXPECT_EQ(config_refusal(llama({{"num_hidden_layers", 1000000000}})),
            "config.json: num_hidden_layers = 1000000000 is out of range (0 to 100000)");
  EXPECT_EQ(config_refusal(llama({{"num_key_value_heads", 3}})),
            "config.json: num_attention_heads = 4 is not a multiple of num_key_value_heads = 3");
}

TEST(ModelConfig, MemoryThatIsNotThereIsNamed) {
  try {
    make_from(llama({{"vocab_size", 1LL << 31}, {"hidden_size", 1LL << 30}}));
    ADD_FAILURE();
  } catch (const WorkError& error) {
    EXPECT_EQ(error.message(), "there is no room for model.embed_tokens.weight [2147483648, 1073741824]");
  }
}

TEST(ModelConfig, TwoNamesOfOneFieldMean) {
  const json gpt2{
      {"architectures", {"GPT2LMHeadModel"}}, {"vocab_size", 11}, {"hidden_size", 16}, {"num_hidden_layers", 1}, {"num_attention_heads", 2},
      {"max_position_embeddings", 8}};
  testing::internal::CaptureStderr();
  const auto model = make_from(gpt2);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(model->shape().width, 16);
  EXPECT_EQ(model->shape().layers, 1);
  EXPECT_EQ(model->shape().max_positions, 8);
  auto twice = gpt2;
  twice["n_embd"] = 16;
  EXPECT_EQ(config_refusal(twice), "");
  twice["n_embd"] = 8;
  EXPECT_EQ(config_refusal(twice), "config.json: n_embd = 8 and hidden_size = 16 are two names of one field");
}

TEST(ModelConfig, ThePartOfAHeadThatTurnsStandsWhereTheScalingStands) {
  const auto turned = [](const json& changes) {
    json config{{"architectures", {"GPTNeoXForCausalLM"}},
                {"vocab_size", 11},
                {"hidden_size", 32},
                {"intermediate_size", 8},
                {"num_hidden_layers", 1},
                {"num_attention_heads", 2},
                {"use_parallel_residual", false}};
    config.update(changes);
    auto model = make_from(config);
    initialize_(model->parameters(), 1);
    const at::NoGradGuard no_grad;
    return model->forward_ids(at::arange(9).unsqueeze(0));
  };
  const auto half = turned({{"rotary_pct", 0.5}});
  EXPECT_TRUE(at::equal(turned({{"rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}}}), half));
  EXPECT_TRUE(at::equal(turned({{"rope_scaling", {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}}}), half));
  EXPECT_FALSE(at::equal(turned(json::object()), half));
}

TEST(ModelConfig, DefaultsAreThoseOfTransformers) {
  const json wide{{"num_attention_heads", 16}, {"hidden_size", 64}};
  EXPECT_EQ(make_from(llama(wide))->shape().kv_heads, 16);
  EXPECT_EQ(make_from(of("MistralForCausalLM", wide))->shape().kv_heads, 8);
  EXPECT_EQ(make_from(of("MistralForCausalLM", wide))->shape().max_positions, 131072);
  EXPECT_EQ(make_from(of("Qwen3ForCausalLM", {{"num_attention_heads", 64}, {"head_dim", 2}}))->shape().kv_heads, 32);
  EXPECT_EQ(
      make_from(of("Qwen3ForCausalLM", {{"num_attention_heads", 64}, {"head_dim", 2}, {"num_key_value_heads", nullptr}}))->shape().kv_heads,
      64);
}

TEST(ModelConfig, BareDecodersHaveNoHead) {
  for (const auto* architecture : {"LlamaModel", "MistralModel"}) {
    const auto model = make_from(of(architecture, {{"num_key_value_heads", 4}}));
    EXPECT_FALSE(model->has_head()) << architecture;
    EXPECT_EQ(model->parameters().find("lm_head.weight"), nullptr) << architecture;
    EXPECT_TRUE(model->is_left_out("lm_head.weight")) << "a folder may hold one all the same";
  }
  const auto headed = make_from({{"architectures", {"GPT2LMHeadModel"}},
                                 {"vocab_size", 11},
                                 {"n_embd", 8},
                                 {"n_layer", 1},
                                 {"n_head", 2},
                                 {"tie_word_embeddings", false}});
  EXPECT_NE(headed->parameters().find("lm_head.weight"), nullptr);
}

TEST(ModelConfig, FieldsThatNoOneAskedForAreNamed) {
  testing::internal::CaptureStderr();
  make_model(llama({{"final_logit_softcapping", 30.0}, {"banana", 1}}), {}, "named.json");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "warning: [model] named.json: fields without effect here: banana, final_logit_softcapping\n");
}

TEST(ModelConfig, QuantizedFoldersAreRefused) {
  EXPECT_EQ(config_refusal(llama({{"quantization_config", {{"quant_method", "gptq"}}}})),
            "config.json: quantization_config: folders of quantized weights are not read");
  EXPECT_EQ(config_refusal(llama({{"quantization_config", nullptr}})), "");
}

TEST(ModelConfig, FirstWeightsStayWithinTheirCutoff) {
  const auto model = make_from({{"architectures", {"ModernBertForMaskedLM"}},
                                {"vocab_size", 500},
                                {"hidden_size", 16},
                                {"intermediate_size", 8},
                                {"num_hidden_layers", 1},
                                {"num_attention_heads", 2},
                                {"initializer_cutoff_factor", 1.5},
                                {"initializer_range", 0.1}});
  initialize_(model->parameters(), 1);
  const auto& embedding = model->parameters().find("model.embeddings.tok_embeddings.weight")->value;
  EXPECT_LE(embedding.abs().max().item<float>(), 0.15F);
  EXPECT_GT(embedding.abs().max().item<float>(), 0.14F);
}

}  // namespace
}  // namespace isotrope

// Models in GGUF and llama2.c's format. The files of tests/data/gguf were written by gguf-py (tools/oracles/gguf_files.py) from folders of
// tests/data/models, where transformers' logits lie.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"
#include "isotrope/kernels/packed_weights.h"
#include "isotrope/models/gguf_family.h"
#include "isotrope/models/packed_checkpoint.h"
#include "isotrope/models/registry.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using nlohmann::json;
using test::Goldens;
using test::relative_max;
using test::TestFolder;

constexpr const char* fixtures[] = {"llama_gqa2_theta5e5", "llama_head_dim_gqa", "qwen3_gqa", "gpt2_tied"};

fs::path fixture(const std::string& name) { return test::source("data/gguf/" + name + ".gguf"); }

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GgufModels, LogitsEqualTransformers) {
  for (const auto* name : fixtures) {
    const Goldens expected(test::source(std::string("data/models/") + name + "/expected.safetensors"));
    auto model = load_model(fixture(name));
    const at::NoGradGuard no_grad;
    for (const auto* c : {"a", "c"})
      EXPECT_LT(relative_max(model->logits(model->forward_ids(expected(std::string("ids_") + c))), expected(std::string("logits64_") + c)),
                1e-5)
          << name << ' ' << c;
  }
}

TEST(GgufModels, AModelKnowsWhatItsFileSays) {
  const auto model = load_model(fixture("llama_gqa2_theta5e5"));
  const auto& config = model->config();
  EXPECT_EQ(config["architectures"][0], "LlamaForCausalLM");
  EXPECT_EQ(config["num_key_value_heads"], 2);
  EXPECT_EQ(config["rms_norm_eps"], 1e-5);  // the shortest decimal of the file's fp32
  EXPECT_EQ(config["rope_theta"], 500000.0);
  EXPECT_EQ(config["tie_word_embeddings"], false);
  EXPECT_EQ(model->parameters().all().front().value.scalar_type(), at::kFloat);
  EXPECT_EQ(load_model(fixture("gpt2_tied"))->config()["tie_word_embeddings"], true);
  EXPECT_EQ(load_model(fixture("gpt2_tied"), {.dtype = at::kBFloat16})->head().weight().scalar_type(), at::kBFloat16);
}

/// Every parameter of both, bit for bit.
void expect_same_weights(const Model& got, const Model& expected, const std::string& what) {
  ASSERT_EQ(got.parameters().all().size(), expected.parameters().all().size()) << what;
  for (const auto& parameter : expected.parameters().all()) {
    const auto* other = got.parameters().find(parameter.name);
    ASSERT_NE(other, nullptr) << what << ' ' << parameter.name;
    EXPECT_TRUE(at::equal(other->value, parameter.value)) << what << ' ' << parameter.name;
  }
}

TEST(GgufModels, WhatIsSavedComesBackBitForBitAndComputesTheSame) {
  const TestFolder folder;
  int compared = 0;
  for (const auto& entry : fs::directory_iterator(test::source("data/models"))) {
    const auto type = read_json(entry.path() / "config.json", "test", {.python_floats = true})["model_type"].get<std::string>();
    if (!gguf_family_of_model_type(type)) continue;
    const auto name = entry.path().filename().string();
    auto model = load_model(entry.path());
    const auto refusal = message_of([&] { save_gguf(*model, folder / "x.gguf", {.packing = Packing::f32}); });
    const bool cannot_be_said = name.find("window") != name.npos && type == "qwen3";
    if (cannot_be_said || name == "qwen3_layer_types" || name.find("relu") != name.npos || name.find("gelu") != name.npos ||
        name == "gpt2_one_head") {
      EXPECT_NE(refusal.find("no place in GGUF"), std::string::npos) << name << ": " << refusal;
      continue;
    }
    ASSERT_EQ(refusal, "") << name;
    auto back = load_model(folder / "x.gguf");
    expect_same_weights(*back, *model, name);
    const at::NoGradGuard no_grad;
    const Goldens expected(entry.path() / "expected.safetensors");
    const auto ids = expected("ids_c");
    EXPECT_LT(relative_max(back->logits(back->forward_ids(ids)), model->logits(model->forward_ids(ids))), 1e-6) << name;
    ++compared;
  }
  EXPECT_GE(compared, 15);
}

const char* const wide_llama =
    R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50, "max_position_embeddings": 32, "bos_token_id": 3,
        "eos_token_id": [5, 7]})";

std::unique_ptr<Model> random_model(const std::string& json, at::ScalarType dtype = at::kFloat) {
  auto model = make_model(nlohmann::json::parse(json), {.dtype = dtype}, "test");
  initialize_(model->parameters(), 3);
  return model;
}

TEST(GgufModels, MatricesArePackedVectorsStayAndRowsOfNoWholeBlocksAreHalves) {
  const TestFolder folder;
  const auto model = random_model(wide_llama);
  save_gguf(*model, folder / "q8.gguf", {.packing = Packing::q8_0, .name = "small"});
  const GgufFile file(folder / "q8.gguf");
  EXPECT_EQ(file.get_string("general.name"), "small");
  EXPECT_EQ(file.get_int("general.file_type"), 7);
  EXPECT_EQ(file.find("blk.1.attn_q.weight")->packing, Packing::q8_0);
  EXPECT_EQ(file.find("token_embd.weight")->packing, Packing::q8_0);
  EXPECT_EQ(file.find("blk.1.attn_norm.weight")->packing, Packing::f32);
  EXPECT_EQ(file.find("blk.0.ffn_down.weight")->packing, Packing::f16);  // rows of 80
  const auto back = load_model(folder / "q8.gguf");
  EXPECT_EQ(back->config()["bos_token_id"], 3);
  EXPECT_EQ(back->config()["eos_token_id"], nlohmann::json({5, 7}));
  for (const auto& parameter : model->parameters().all()) {
    const auto apart = (back->parameters().find(parameter.name)->value - parameter.value).abs().max().item<double>();
    EXPECT_LE(apart, parameter.value.abs().max().item<double>() / 127)
        << parameter.name;  // half a step of the largest block, and F16's of the scale
    EXPECT_TRUE(parameter.value.dim() > 1 || apart == 0) << parameter.name;
  }
}

TEST(GgufModels, HalvesComeBackAsTheyWere) {
  const TestFolder folder;
  for (const auto& [packing, dtype] : {std::pair{Packing::f16, at::kHalf}, std::pair{Packing::bf16, at::kBFloat16}}) {
    const auto model = random_model(wide_llama, dtype);
    save_gguf(*model, folder / "x.gguf", {.packing = packing});
    expect_same_weights(*load_model(folder / "x.gguf"), *model, std::string(packing_name(packing)));
  }
}

TEST(GgufModels, ANumberThatDoesNotFitIsNamed) {
  const TestFolder folder;
  const auto model = random_model(wide_llama);
  const at::NoGradGuard no_grad;
  auto value = model->parameters().find("model.layers.1.mlp.up_proj.weight")->value;
  value[3][5] = 70000.0f;
  EXPECT_EQ(message_of([&] { save_gguf(*model, folder / "x.gguf", {.packing = Packing::f16}); }),
            "[gguf] " + (folder / "x.gguf").string() + ": tensor blk.1.ffn_up.weight: 70000 does not fit into F16");
  EXPECT_FALSE(fs::exists(folder / "x.gguf"));
}

TEST(GgufModels, ANumberThatFloat16DoesNotHaveIsNamedOnReading) {
  const TestFolder folder;
  const auto model = load_model(test::source("data/models/llama_gqa2_theta5e5"));
  {
    const at::NoGradGuard no_grad;
    model->parameters().find("model.layers.1.mlp.up_proj.weight")->value[0][0] = 1e6F;
  }
  save_gguf(*model, folder / "x.gguf", {.packing = Packing::f32});
  EXPECT_NO_THROW(load_model(folder / "x.gguf", {.dtype = at::kBFloat16}));
  EXPECT_NE(message_of([&] {
              load_model(folder / "x.gguf", {.dtype = at::kHalf});
            }).find("blk.1.ffn_up.weight has numbers that do not fit into float16"),
            std::string::npos);
}

TEST(GgufModels, MatricesThatStayPackedComputeWhatTheirNumbersDo) {
  const TestFolder folder;
  int kept = 0;
  for (const auto* name : {"llama_llama3_rope", "qwen3_gqa", "gpt2_tied", "mistral_window8_gqa"}) {
    // Wide enough for blocks of 32.
    auto config = read_json(test::source(std::string("data/models/") + name + "/config.json"), "test");
    config[config.contains("n_embd") ? "n_embd" : "hidden_size"] = 64;
    if (!config.contains("n_embd")) config["intermediate_size"] = 96, config["head_dim"] = 32;
    auto model = make_model(config, {}, "config.json");
    initialize_(model->parameters(), 3);
    for (const auto packing : {Packing::q8_0, Packing::q4_1}) {
      save_gguf(*model, folder / "x.gguf", {.packing = packing});
      const auto plain = load_model(folder / "x.gguf"), packed = load_model(folder / "x.gguf", {.keep_packed = true});
      for (const auto& parameter : packed->parameters().all()) kept += parameter.slot && parameter.slot->packed;
      const at::NoGradGuard no_grad;
      const auto ids = at::arange(17, at::kLong).unsqueeze(0);
      const auto expected = plain->logits(plain->forward_ids(ids));
      EXPECT_LT(relative_max(packed->logits(packed->forward_ids(ids)), expected), 1e-5) << name;
      KvCache cache(17);
      for (std::int64_t i = 0; i < 17; ++i)
        EXPECT_LT(relative_max(packed->logits(packed->forward_ids(ids.narrow(1, i, 1), {.cache = &cache})), expected.narrow(1, i, 1)), 1e-4)
            << name;
      EXPECT_EQ(packed->parameters().count(), plain->parameters().count());
    }
  }
  EXPECT_GT(kept, 60);
}

TEST(GgufModels, WhatHasNoBlocksIsNotKeptPacked) {
  EXPECT_NE(message_of([] { load_model(fixture("llama_gqa2_theta5e5"), {.keep_packed = true}); }).find("holds no packed matrices to keep"),
            std::string::npos);
  EXPECT_NE(message_of([] { load_model(test::source("data/models/llama_gqa2_theta5e5"), {.keep_packed = true}); }).find("is no GGUF file"),
            std::string::npos);
}

TEST(GgufModels, AModelWithoutAHeadHasNoPlaceInAFile) {
  const TestFolder folder;
  auto config = read_json(test::source("data/models/llama_gqa2_theta5e5/config.json"), "test");
  config["architectures"] = {"LlamaModel"};
  const auto model = make_model(config, {}, "config.json");
  initialize_(model->parameters(), 1);
  EXPECT_NE(message_of([&] { save_gguf(*model, folder / "x.gguf"); }).find("no language-modelling head"), std::string::npos);
}

TEST(GgufModels, Llama3sFactorsSurviveWhateverTheirLastBit) {
  const TestFolder folder;
  for (const double factor : {2.2, 3.3, 9.9, 12.7, 31.3, 8.0, 32.0}) {
    auto config = read_json(test::source("data/models/llama_mha_tied/config.json"), "test");
    config["head_dim"] = 64;
    config["rope_parameters"] = {{"rope_type", "llama3"},  {"rope_theta", 500000.0},  {"factor", factor},
                                 {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};
    auto model = make_model(config, {}, "config.json");
    initialize_(model->parameters(), 1);
    save_gguf(*model, folder / "x.gguf", {.packing = Packing::f32});
    const auto back = load_model(folder / "x.gguf");
    const auto ids = at::arange(43, at::kLong).unsqueeze(0);
    const at::NoGradGuard no_grad;
    EXPECT_LT(relative_max(back->forward_ids(ids), model->forward_ids(ids)), 1e-5) << factor;
  }
}

TEST(GgufModels, IdsThatEndATextAreUpToThree) {
  const TestFolder folder;
  const auto read_back = [&](const json& ends, const GgufMetadata& vocabulary = {}) {
    auto config = read_json(test::source("data/models/llama_mha_tied/config.json"), "test");
    config["eos_token_id"] = ends;
    auto model = make_model(config, {}, "config.json");
    initialize_(model->parameters(), 1);
    save_gguf(*model, folder / "x.gguf", {.packing = Packing::f32, .vocabulary = vocabulary});
    return load_model(folder / "x.gguf")->config()["eos_token_id"];
  };
  EXPECT_EQ(read_back(nullptr), json());
  EXPECT_EQ(read_back(5), 5);
  EXPECT_EQ(read_back({5, 3, 5, 7}), json({5, 3, 7}));
  EXPECT_EQ(read_back({5, 3}, {{"tokenizer.ggml.eos_token_id", std::uint32_t{3}}}), json({3, 5})) << "the vocabulary's own stands first";
  EXPECT_EQ(read_back({5, 3}, {{"tokenizer.ggml.eos_token_id", std::uint32_t{1}}, {"tokenizer.ggml.eot_token_id", std::uint32_t{3}}}),
            json({1, 3, 5}));
  testing::internal::CaptureStderr();
  EXPECT_EQ(read_back({5, 3, 7, 9}), json({5, 3, 7}));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("of 4 ids that end a text, GGUF holds three"), std::string::npos);
}

TEST(GgufModels, ATrainedFolderOfAnotherFamilyIsRefused) {
  const TestFolder folder;
  const auto message = message_of([&] { save_gguf(*load_model(test::source("data/models/bloom_4_heads")), folder / "x.gguf"); });
  EXPECT_NE(message.find("a model of type bloom has no place in GGUF here (known architectures: llama, qwen3, gpt2)"), std::string::npos)
      << message;
}

// ---- broken files -------------------------------------------------------------------------------------------------

using Change = std::function<void(GgufMetadata&, std::vector<std::pair<GgufEntry, std::vector<std::byte>>>&)>;

/// What load_model says to a fixture after `change`.
std::string refusal(const std::string& name, const Change& change) {
  const TestFolder folder;
  const GgufFile good(fixture(name));
  auto metadata = good.metadata();
  std::vector<std::pair<GgufEntry, std::vector<std::byte>>> tensors;
  for (const auto& tensor : good.tensors())
    tensors.push_back({{tensor.name, tensor.packing, tensor.shape}, {tensor.bytes.begin(), tensor.bytes.end()}});
  change(metadata, tensors);
  std::vector<GgufEntry> entries;
  for (const auto& tensor : tensors) entries.push_back(tensor.first);
  const auto path = folder / "m.gguf";
  write_gguf(path, metadata, entries, [&](std::size_t i) { return tensors[i].second; });
  auto message = message_of([&] { load_model(path); });
  if (const auto at = message.find(path.string()); at != std::string::npos) message.replace(at, path.string().size(), "m.gguf");
  return message;
}

std::string refusal_with(const std::string& key, GgufValue value) {
  return refusal("llama_gqa2_theta5e5", [&](auto& metadata, auto&) {
    std::erase_if(metadata, [&](const auto& entry) { return entry.first == key; });
    metadata.emplace_back(key, value);
  });
}

TEST(GgufModels, TensorsThatAreMissingSurplusOrMisshapenAreNamed) {
  const auto drop = [](const std::string& name) {
    return [name](auto&, auto& tensors) { std::erase_if(tensors, [&](const auto& tensor) { return tensor.first.name == name; }); };
  };
  EXPECT_EQ(refusal("llama_gqa2_theta5e5", [](auto&, auto&) {}), "");
  EXPECT_EQ(refusal("llama_gqa2_theta5e5", drop("blk.1.attn_k.weight")), "[model] m.gguf: tensor blk.1.attn_k.weight [12, 24] is missing");
  EXPECT_EQ(refusal("gpt2_tied", drop("blk.0.attn_qkv.bias")), "[model] m.gguf: tensor blk.0.attn_qkv.bias [60] is missing");
  const auto add = [](const std::string& name) {
    return [name](auto&, auto& tensors) { tensors.push_back({{name, Packing::f32, {2}}, std::vector<std::byte>(8)}); };
  };
  EXPECT_EQ(refusal("llama_gqa2_theta5e5", add("blk.0.attn_sinks.weight")),
            "[model] m.gguf: tensor blk.0.attn_sinks.weight [2] belongs to no parameter of this architecture");
  EXPECT_EQ(refusal("llama_gqa2_theta5e5", add("blk.2.attn_norm.weight")),
            "[model] m.gguf: tensor blk.2.attn_norm.weight [2] belongs to no parameter of this architecture");
  EXPECT_EQ(refusal("llama_gqa2_theta5e5", add("blk.0.attn_v.bias")),
            "[model] m.gguf: tensor blk.0.attn_v.bias [2] belongs to no parameter of this architecture");
  EXPECT_EQ(refusal("llama_gqa2_theta5e5",
                    [](auto&, auto& tensors) {
                      for (auto& [entry, bytes] : tensors)
                        if (entry.name == "blk.0.ffn_up.weight") std::swap(entry.shape[0], entry.shape[1]);
                    }),
            "[model] m.gguf: tensor blk.0.ffn_up.weight: expected shape [37, 24], got [24, 37]");
  EXPECT_EQ(refusal("gpt2_tied",
                    [](auto&, auto& tensors) {
                      for (auto& [entry, bytes] : tensors)
                        if (entry.name == "blk.0.ffn_up.weight") std::swap(entry.shape[0], entry.shape[1]);
                    }),
            "[model] m.gguf: tensor blk.0.ffn_up.weight: expected shape [80, 20], got [20, 80]");
}

TEST(GgufModels, WhatIsNotSupportedIsNamed) {
  EXPECT_EQ(refusal_with("general.architecture", std::string("gemma3")),
            "[gguf] m.gguf: architecture gemma3 is not supported (known: llama, qwen3, gpt2)");
  EXPECT_EQ(refusal_with("split.count", std::uint16_t{3}), "[gguf] m.gguf: is one of 3 parts of a model");
  EXPECT_EQ(refusal_with("llama.expert_count", 8u), "[gguf] m.gguf: mixtures of experts are not supported");
  EXPECT_EQ(refusal_with("llama.rope.dimension_count", 4u),
            "[gguf] m.gguf: rope.dimension_count is 4, but heads have 6 numbers: not supported");
  EXPECT_EQ(refusal_with("llama.rope.scaling.type", std::string("yarn")), "");  // without a factor it asks for nothing
  EXPECT_EQ(refusal("llama_gqa2_theta5e5",
                    [](auto& metadata, auto&) {
                      metadata.emplace_back("llama.rope.scaling.type", std::string("yarn"));
                      metadata.emplace_back("llama.rope.scaling.factor", 4.0f);
                    }),
            "[gguf] m.gguf: rope.scaling.type \"yarn\" is not supported (none, linear)");
  EXPECT_EQ(refusal_with("llama.attention.head_count_kv", GgufArray{std::vector<std::int32_t>{2, 1}}),
            "[gguf] m.gguf: metadata llama.attention.head_count_kv differs between layers, which is not supported");
  EXPECT_EQ(refusal_with("llama.attention.head_count_kv", GgufArray{std::vector<std::int32_t>{2, 2}}), "");
  EXPECT_EQ(refusal_with("llama.embedding_length", std::string("wide")),
            "[gguf] m.gguf: metadata llama.embedding_length: expected an integer, got a string");
  EXPECT_EQ(refusal_with("tokenizer.ggml.tokens", GgufArray{std::vector<std::string>(42)}),
            "[gguf] m.gguf: the vocabulary has 42 tokens, the model's vocab_size is 43");
  EXPECT_EQ(
      refusal("llama_gqa2_theta5e5",
              [](auto& metadata, auto&) { std::erase_if(metadata, [](const auto& entry) { return entry.first == "llama.block_count"; }); }),
      "[gguf] m.gguf: metadata llama.block_count is missing");
}

TEST(GgufModels, RopeScalesAsLlamaCppReadsIt) {
  const auto scaling = [](const GgufMetadata& more) {
    const TestFolder folder;
    const GgufFile good(fixture("llama_gqa2_theta5e5"));
    auto metadata = good.metadata();
    metadata.insert(metadata.end(), more.begin(), more.end());
    std::vector<GgufEntry> entries;
    for (const auto& tensor : good.tensors()) entries.push_back({tensor.name, tensor.packing, tensor.shape});
    write_gguf(folder / "m.gguf", metadata, entries, [&](std::size_t i) {
      const auto& bytes = good.tensors()[i].bytes;
      return std::vector<std::byte>(bytes.begin(), bytes.end());
    });
    return load_model(folder / "m.gguf")->config()["rope_scaling"];
  };
  const nlohmann::json linear{{"rope_type", "linear"}, {"factor", 4.0}};
  EXPECT_EQ(scaling({{"llama.rope.scaling.factor", 4.0f}}), linear) << "no type means linear";
  EXPECT_EQ(scaling({{"llama.rope.scale_linear", 4.0f}}), linear);
  EXPECT_EQ(scaling({{"llama.rope.scaling.type", std::string("none")}, {"llama.rope.scaling.factor", 4.0f}}), nullptr);
  EXPECT_EQ(scaling({{"llama.rope.scaling.factor", 0.0f}}), nullptr);
  EXPECT_EQ(scaling({}), nullptr);
}

TEST(GgufModels, FactorsOfRotationAreLlama3sOrRefused) {
  const nlohmann::json llama32{{"rope_type", "llama3"},
                               {"factor", 32.0},
                               {"low_freq_factor", 1.0},
                               {"high_freq_factor", 4.0},
                               {"original_max_position_embeddings", 8192}};
  auto factors = llama3_rope_factors(llama32, 500000, 64);
  // Figures of Llama 3.2 by transformers' formula: short wavelengths as they are, long ones 32 times as long.
  EXPECT_EQ(factors.front(), 1);
  EXPECT_EQ(factors.back(), 32);
  EXPECT_EQ(llama3_scaling_of(factors, 500000), llama32);
  factors[17] *= 1.01f;
  EXPECT_EQ(llama3_scaling_of(factors, 500000), std::nullopt);
  const auto with_factors = [](const std::vector<float>& given, const GgufMetadata& more = {}) {
    return refusal("llama_gqa2_theta5e5", [&](auto& metadata, auto& tensors) {
      const auto bytes = std::as_bytes(std::span(given));
      tensors.push_back({{"rope_freqs.weight", Packing::f32, {static_cast<std::int64_t>(given.size())}}, {bytes.begin(), bytes.end()}});
      metadata.insert(metadata.end(), more.begin(), more.end());
    });
  };
  EXPECT_EQ(with_factors({1, 1, 1, 1}), "[gguf] m.gguf: rope_freqs.weight has 4 factors, heads of 6 numbers need 3");
  EXPECT_EQ(with_factors({1, 1, 1}, {{"llama.rope.scaling.factor", 2.0f}}),
            "[gguf] m.gguf: rope_freqs.weight beside rope.scaling.factor 2 is not supported");
  const std::vector<float> odd{1, 3, 2};
  EXPECT_EQ(refusal("llama_gqa2_theta5e5",
                    [&](auto&, auto& tensors) {
                      const auto bytes = std::as_bytes(std::span(odd));
                      tensors.push_back({{"rope_freqs.weight", Packing::f32, {3}}, {bytes.begin(), bytes.end()}});
                    }),
            "[gguf] m.gguf: rope_freqs.weight has factors that Llama 3's formula does not give");
}

// ---- llama2.c -----------------------------------------------------------------------------------------------------

/// The model as llama2.c's export writes it: by kind, then layer, rows of queries and keys in pairs.
void write_llama2c(const Model& model, const fs::path& path) {
  const auto& shape = model.shape();
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](const void* data, std::size_t size) {
    file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  };
  const auto hidden = model.config()["intermediate_size"].get<std::int32_t>();
  const bool tied = !model.parameters().find("lm_head.weight");
  const std::int32_t header[] = {
      static_cast<std::int32_t>(shape.width),        hidden,
      static_cast<std::int32_t>(shape.layers),       static_cast<std::int32_t>(shape.heads),
      static_cast<std::int32_t>(shape.kv_heads),     static_cast<std::int32_t>(tied ? shape.vocab_size : -shape.vocab_size),
      static_cast<std::int32_t>(shape.max_positions)};
  put(header, sizeof header);
  const auto weight = [&](const std::string& name, std::int64_t heads = 0) {
    auto value = model.parameters().find(name + ".weight")->value.detach();
    if (heads > 0) value = value.view({heads, 2, shape.head_dim / 2, -1}).transpose(1, 2);
    value = value.contiguous();
    put(value.const_data_ptr(), value.nbytes());
  };
  const auto layers = [&](const char* name, std::int64_t heads = 0) {
    for (std::int64_t i = 0; i < shape.layers; ++i) weight("model.layers." + std::to_string(i) + "." + name, heads);
  };
  weight("model.embed_tokens");
  layers("input_layernorm");
  layers("self_attn.q_proj", shape.heads);
  layers("self_attn.k_proj", shape.kv_heads);
  for (const auto* name :
       {"self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm", "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"})
    layers(name);
  weight("model.norm");
  const std::vector<float> angles(static_cast<std::size_t>(shape.max_positions * shape.head_dim));
  put(angles.data(), angles.size() * 4);
  if (!tied) weight("lm_head");
}

TEST(Llama2cModels, AFileOfTheFormatIsTheModelThatWasWritten) {
  const TestFolder folder;
  for (const bool tied : {false, true}) {
    auto config = nlohmann::json::parse(wide_llama);
    config["tie_word_embeddings"] = tied;
    const auto model = random_model(config.dump());
    write_llama2c(*model, folder / "m.bin");
    const auto back = load_model(folder / "m.bin");
    expect_same_weights(*back, *model, tied ? "tied" : "own head");
    EXPECT_EQ(back->shape().max_positions, 32);
  }
}

}  // namespace
}  // namespace isotrope

// Every folder of tests/data/encoders was written by transformers (tools/oracles/encoder_goldens.py), with what transformers computes from
// it.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/infer/generate.h"
#include "isotrope/io/json.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/models/registry.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::Goldens;
using test::relative;
using test::relative_max;

/// A folder, its model in fp32 and what is expected of it.
struct EncoderCase {
  explicit EncoderCase(const fs::path& folder, at::ScalarType dtype = at::kFloat)
      : name(folder.filename().string()), expected(folder / "expected.safetensors"), model(load_model(folder, {.dtype = dtype})) {}

  at::Tensor types(const std::string& input) const { return expected.has("types_" + input) ? expected("types_" + input) : at::Tensor(); }
  at::Tensor hidden(const std::string& input) { return model->forward_ids(expected("ids_" + input), {.token_types = types(input)}); }
  bool has_head() const { return model->has_head(); }

  std::string name;
  Goldens expected;
  std::unique_ptr<Model> model;
};

std::vector<fs::path> encoder_folders() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(test::source("data/encoders"))) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

TEST(EncoderGoldens, CoverEveryFamilyInFiveShapes) {
  std::map<std::string, int> shapes;
  for (const auto& folder : encoder_folders()) ++shapes[read_json(folder / "config.json", "test")["model_type"].get<std::string>()];
  for (const auto* family : {"bert", "roberta", "albert", "distilbert", "modernbert"}) EXPECT_GE(shapes[family], 5) << family;
}

TEST(EncoderGoldens, HiddenStatesAndLogitsEqualTransformers) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : encoder_folders()) {
    EncoderCase c(folder);
    for (const std::string input : {"a", "b", "c", "d"}) {
      const auto hidden = c.hidden(input);
      // Against the float64 model: 1e-4 of the largest is what is promised; both fp32 implementations stay near 1e-6.
      EXPECT_LT(relative_max(hidden, c.expected("hidden64_" + input)), 1e-5) << c.name << ' ' << input;
      EXPECT_EQ(c.has_head(), c.expected.has("logits64_" + input)) << c.name;
      EXPECT_EQ(c.model->has_pair_head(), c.expected.has("pair64_" + input)) << c.name;
      if (c.has_head()) EXPECT_LT(relative_max(c.model->logits(hidden), c.expected("logits64_" + input)), 1e-5) << c.name << ' ' << input;
      else EXPECT_THROW(c.model->logits(hidden), InputError);
      const auto first = hidden.select(1, 0);
      if (c.model->has_pair_head())
        EXPECT_LT(relative_max(c.model->pair_logits(first), c.expected("pair64_" + input)), 1e-5) << c.name << ' ' << input;
      else EXPECT_THROW(c.model->pair_logits(first), InputError);
    }
  }
}

TEST(EncoderGoldens, PaddingOnEitherSideChangesNothing) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : encoder_folders()) {
    EncoderCase c(folder);
    const auto mask = c.expected("mask_p");  // padding is a document of its own
    const auto hidden = c.model->forward_ids(c.expected("ids_p"), {.positions = c.expected("positions_p"), .documents = mask});
    const auto found = c.has_head() ? c.model->logits(hidden) : hidden;
    EXPECT_LT(relative_max(found * mask.unsqueeze(2), c.expected(c.has_head() ? "logits64_p" : "hidden64_p")), 1e-5) << c.name;
  }
}

TEST(EncoderGoldens, TapsSeeTheHiddenStatesOfEveryLayer) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : encoder_folders()) {
    EncoderCase c(folder);
    std::int64_t compared = 0;
    const Tap tap([&](std::string_view point, std::int64_t layer, const at::Tensor& value) {
      if (point != "embed" && point != "resid_post") return;
      const auto name = "states_a." + std::to_string(point == "embed" ? 0 : layer + 1);
      EXPECT_LT(relative_max(value, c.expected(name)), 1e-5) << c.name << ' ' << name;
      ++compared;
    });
    c.model->forward_ids(c.expected("ids_a"), {.token_types = c.types("a"), .tap = tap});
    EXPECT_EQ(compared, c.model->shape().layers + 1) << c.name;
  }
}

/// The loss of the golden file: of masked tokens, and of the pair where there is a head for it.
at::Tensor loss_of(EncoderCase& c, const at::Tensor& hidden) {
  if (!c.has_head()) return (hidden * c.expected("weights_c")).mean();
  const auto targets = c.expected("targets_c").flatten();
  const double counted = (targets != ignored_target).sum().item<double>();
  auto loss = head_loss(c.model->head_input(hidden).flatten(0, 1), c.model->head(), targets, {.scale = 1 / counted}).loss;
  if (c.model->has_pair_head())
    loss = loss + at::cross_entropy_loss(c.model->pair_logits(hidden.select(1, 0)), c.expected("pair_targets_c"));
  return loss;
}

TEST(EncoderGoldens, LossAndEveryGradientEqualTransformers) {
  for (const auto& folder : encoder_folders()) {
    EncoderCase c(folder);
    const auto embeddings = c.model->embed(c.expected("ids_c")).detach().requires_grad_(true);
    loss_of(c, c.model->forward_embeddings(embeddings, {.token_types = c.types("c")})).backward();
    EXPECT_LT(relative(embeddings.grad(), c.expected("grad.inputs_embeds")), 1e-5) << c.name;
    for (auto& parameter : c.model->parameters().all()) parameter.value.mutable_grad() = at::Tensor();
    const auto loss = loss_of(c, c.hidden("c"));
    EXPECT_NEAR(loss.item<double>(), c.expected("loss_c").item<double>(), 1e-5) << c.name;
    loss.backward();
    const auto& all = c.model->parameters().all();
    const auto gradient = [](const Parameter& p) { return p.value.grad().defined() ? p.value.grad() : at::zeros_like(p.value); };
    double whole = 0;
    for (const auto& parameter : all) whole += gradient(parameter).to(at::kDouble).square().sum().item<double>();
    for (const auto& parameter : all) {
      const auto bare = parameter.name.starts_with(c.model->prefix()) ? parameter.name.substr(c.model->prefix().size()) : parameter.name;
      const auto golden = c.expected(c.expected.has("grad." + parameter.name) ? "grad." + parameter.name : "grad." + bare);
      const double difference = (gradient(parameter) - golden).norm().item<double>();
      // 1e-4 is what is promised; a gradient that is zero but for rounding (a key's bias) is compared with the whole one.
      EXPECT_LT(difference, std::max(1e-5 * golden.norm().item<double>(), 1e-6 * std::sqrt(whole))) << c.name << ' ' << parameter.name;
    }
  }
}

TEST(EncoderGoldens, TextsInOneRowDoNotSeeEachOther) {
  const at::NoGradGuard no_grad;
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const auto& folder : encoder_folders()) {
      EncoderCase c(folder, dtype);
      const auto ids = c.expected("ids_c"), types = c.types("c");
      const auto part = [&](const at::Tensor& x, std::int64_t row, std::int64_t count) {
        return x.defined() ? x.narrow(0, row, 1).narrow(1, 0, count) : x;
      };
      const auto joined = [&](const at::Tensor& x) { return x.defined() ? at::cat({part(x, 0, 20), part(x, 1, 33)}, 1) : x; };
      const auto documents = at::cat({at::zeros({1, 20}, at::kLong), at::ones({1, 33}, at::kLong)}, 1);
      const auto together = c.model->forward_ids(joined(ids), {.documents = documents, .token_types = joined(types)});
      const auto alone = c.model->forward_ids(part(ids, 1, 33), {.token_types = part(types, 1, 33)});
      EXPECT_LT(relative_max(together.narrow(1, 20, 33), alone), dtype == at::kFloat ? 1e-5 : 2e-2) << c.name;
    }
}

TEST(EncoderGoldens, GradientsOfTextsInOneRowAreTheSumOfTheirs) {
  for (const auto& folder : encoder_folders()) {
    EncoderCase c(folder);
    const auto ids = c.expected("ids_c"), types = c.types("c");
    const auto slope = at::sin(at::arange(66 * c.model->shape().width, at::kFloat)).view({1, 66, -1});
    const auto flat = [](const at::Tensor& x) { return x.defined() ? x.reshape({1, 66}) : x; };
    const auto gradients = [&](const std::function<void()>& work) {
      work();
      std::vector<at::Tensor> found;
      for (auto& parameter : c.model->parameters().all()) {
        found.push_back(parameter.value.grad().defined() ? parameter.value.grad().clone() : at::zeros_like(parameter.value));
        parameter.value.mutable_grad() = at::Tensor();
      }
      return found;
    };
    const auto apart = gradients([&] {
      const auto hidden = c.model->forward_ids(ids, {.token_types = types});  // a row each
      (hidden.reshape({1, 66, -1}) * slope).sum().backward();
    });
    const auto together = gradients([&] {
      const auto documents = at::arange(2, at::kLong).repeat_interleave(33).unsqueeze(0);
      (c.model->forward_ids(flat(ids), {.documents = documents, .token_types = flat(types)}) * slope).sum().backward();
    });
    double whole = 0;
    for (const auto& gradient : apart) whole += gradient.to(at::kDouble).square().sum().item<double>();
    for (std::size_t i = 0; i < apart.size(); ++i)
      EXPECT_LT((together[i] - apart[i]).norm().item<double>(), std::max(1e-5 * apart[i].norm().item<double>(), 1e-6 * std::sqrt(whole)))
          << c.name << ' ' << c.model->parameters().all()[i].name;
  }
}

TEST(EncoderGoldens, Bfloat16IsAsExactAsThatOfTransformers) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : encoder_folders()) {
    EncoderCase c(folder, at::kBFloat16);
    const auto hidden = c.hidden("c");
    const auto error = relative(c.has_head() ? c.model->logits(hidden) : hidden, c.expected(c.has_head() ? "logits64_c" : "hidden64_c"));
    EXPECT_LT(error, 1.25 * c.expected("bf16_error_c").item<double>()) << c.name;
  }
}

TEST(EncoderGoldens, Float16IsMoreExactThanBfloat16) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : encoder_folders()) {
    EncoderCase c(folder, at::kHalf);
    const auto hidden = c.hidden("c");
    const auto error = relative(c.has_head() ? c.model->logits(hidden) : hidden, c.expected(c.has_head() ? "logits64_c" : "hidden64_c"));
    EXPECT_LT(error, c.expected("bf16_error_c").item<double>()) << c.name;
    if (c.has_head()) EXPECT_NEAR(loss_of(c, hidden).item<double>(), c.expected("loss_c").item<double>(), 1e-2) << c.name;
  }
}

TEST(EncoderGoldens, SavedFoldersReadBackBitForBit) {
  for (const auto& folder : encoder_folders()) {
    EncoderCase c(folder);
    const test::TestFolder out;
    save_model(*c.model, out.path(), {.max_shard_bytes = 20000});
    auto again = load_model(out.path());
    for (const auto& parameter : c.model->parameters().all())
      EXPECT_TRUE(at::equal(parameter.value, again->parameters().find(parameter.name)->value)) << c.name << ' ' << parameter.name;
  }
}

TEST(ModelDropout, EachRateOfEachFamilyActsAndOnlyInTraining) {
  const at::NoGradGuard no_grad;
  std::set<std::string> types{"mamba2"};  // whose config has no such rate
  for (const std::string folder : {"elmo/embedding", "encoders/bert_pretraining", "encoders/roberta_masked_lm",
                                   "encoders/albert_pretraining", "encoders/distilbert_masked_lm", "encoders/modernbert_masked_lm",
                                   "models/gpt2_tied", "models/llama_mha_tied", "models/mistral_no_window", "models/qwen3_gqa",
                                   "models/opt_pre_norm", "models/gpt_neox_parallel", "models/bloom_4_heads", "models/falcon_h1_no_norm"}) {
    auto config = read_json(test::source("data/" + folder) / "config.json", "test");
    const auto found = make_model(config, {}, "config.json")->dropout_rates();
    EXPECT_FALSE(found.empty()) << folder;
    types.insert(config["model_type"].get<std::string>());
    for (const auto& [key, rate] : found) config[key] = 0.0;
    for (const auto& [key, rate] : found) {
      auto changed = config;
      changed[key] = 0.5;
      auto model = make_model(changed, {}, "config.json");
      initialize_(model->parameters(), 3);
      const auto ids = at::arange(5, 17, at::kLong).unsqueeze(0);
      const auto output = [&](const Dropout& dropout) {
        const auto hidden = model->forward_ids(ids, {.dropout = dropout});
        return model->has_pair_head() ? at::cat({hidden.flatten(), model->pair_logits(hidden.select(1, 0), dropout).flatten()}) : hidden;
      };
      EXPECT_FALSE(at::equal(output(Dropout(1, 0, 0)), output({}))) << folder << ' ' << key;
      EXPECT_TRUE(at::equal(output(Dropout(1, 0, 0)), output(Dropout(1, 0, 0)))) << folder << ' ' << key;
    }
    auto without = make_model(config, {}, "config.json");
    initialize_(without->parameters(), 3);
    const auto ids = at::arange(5, 17, at::kLong).unsqueeze(0);
    EXPECT_TRUE(at::equal(without->forward_ids(ids, {.dropout = Dropout(1, 0, 0)}), without->forward_ids(ids))) << folder;
  }
  const auto known = known_model_types();
  EXPECT_EQ(types, std::set<std::string>(known.begin(), known.end())) << "a family's rates are not tested";
}

TEST(Encoders, NameASegmentThatTheyDoNotTellApart) {
  const auto model = load_model(test::source("data/encoders/roberta_bare"));  // one segment
  EXPECT_THROW(model->forward_ids(at::ones({1, 3}, at::kLong), {.token_types = at::ones({1, 3}, at::kLong)}), InputError);
}

TEST(Encoders, BeginASinusoidalTableAsOne) {
  auto model = load_model(test::source("data/encoders/distilbert_sinusoidal"));
  initialize_(model->parameters(), 1);
  const auto table = model->parameters().find("distilbert.embeddings.position_embeddings.weight")->value.detach();
  EXPECT_TRUE(at::equal(table[0], at::tensor({0.0f, 1.0f}).repeat({12})));
  EXPECT_NEAR(table[7][0].item<double>(), std::sin(7.0), 1e-6);
  EXPECT_NEAR(table[7][5].item<double>(), std::cos(7.0 / std::pow(10000.0, 4.0 / 24)), 1e-6);
}

TEST(Encoders, KeepNoCacheAndDoNotGenerate) {
  auto model = load_model(encoder_folders().front());
  KvCache cache(8);
  EXPECT_THROW(model->forward_ids(at::ones({1, 3}, at::kLong), {.cache = &cache}), WorkError);
  const std::vector<TokenId> prompt{1, 2};
  EXPECT_THROW(generate(*model, prompt, {.max_tokens = 1}), InputError);
}

}  // namespace
}  // namespace isotrope

// Every folder of tests/data/models was written by transformers (tools/oracles/model_goldens.py), with what transformers computes from it.
#include <gtest/gtest.h>

#include <map>

#include "isotrope/base/error.h"
#include "isotrope/infer/generate.h"
#include "isotrope/io/json.h"
#include "isotrope/loss/next_token.h"
#include "isotrope/models/checkpoint.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::Goldens;
using test::relative;
using test::relative_max;

std::vector<fs::path> decoder_folders() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(test::source("data/models")))
    if (fs::exists(entry.path() / "expected.safetensors")) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

TEST(ModelGoldens, CoverEveryFamilyInFiveShapes) {
  std::map<std::string, int> shapes;
  for (const auto& folder : decoder_folders())
    ++shapes[read_json(folder / "config.json", "test", {.python_floats = true})["model_type"].get<std::string>()];
  for (const auto* family : {"llama", "gpt2", "mistral", "qwen3", "opt", "gpt_neox", "bloom", "mamba2", "falcon_h1"})
    EXPECT_GE(shapes[family], 5) << family;
}

TEST(ModelGoldens, LogitsEqualTransformers) {
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    auto model = load_model(folder);
    const at::NoGradGuard no_grad;
    for (const auto* c : {"a", "b", "c"}) {
      const auto hidden = model->forward_ids(expected(std::string("ids_") + c));
      // Against the float64 model: 1e-4·max|logit| is what is promised; both fp32 implementations stay near 1e-6.
      EXPECT_LT(relative_max(model->logits(hidden), expected(std::string("logits64_") + c)), 1e-5) << folder.filename() << ' ' << c;
      EXPECT_LT(relative_max(model->logits(hidden), expected(std::string("logits_") + c)), 1e-5) << folder.filename() << ' ' << c;
      EXPECT_LT(relative_max(hidden, expected(std::string("last_hidden_") + c)), 1e-5) << folder.filename() << ' ' << c;
    }
  }
}

TEST(ModelGoldens, ALongTextHasTheLogitsOfTransformers) {
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    auto model = load_model(folder);
    const at::NoGradGuard no_grad;
    EXPECT_LT(relative_max(model->logits(model->forward_ids(expected("ids_d"))), expected("logits64_d")), 1e-5) << folder.filename();
  }
}

TEST(ModelGoldens, PaddingOnEitherSideChangesNothing) {
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    auto model = load_model(folder);
    const at::NoGradGuard no_grad;
    // Padding is a document of its own.
    const auto mask = expected("mask_p");
    const auto hidden = model->forward_ids(expected("ids_p"), {.positions = expected("positions_p"), .documents = mask});
    EXPECT_LT(relative_max(model->logits(hidden) * mask.unsqueeze(2), expected("logits64_p")), 1e-5) << folder.filename();
  }
}

TEST(ModelGoldens, TapsSeeTheHiddenStatesOfEveryLayer) {
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    auto model = load_model(folder);
    const at::NoGradGuard no_grad;
    std::int64_t compared = 0;
    const Tap tap([&](std::string_view point, std::int64_t layer, const at::Tensor& value) {
      if (point != "embed" && point != "resid_post") return;
      const auto name = "hidden_a." + std::to_string(point == "embed" ? 0 : layer + 1);
      EXPECT_LT(relative_max(value, expected(name)), 1e-5) << folder.filename() << ' ' << name;
      ++compared;
    });
    model->forward_ids(expected("ids_a"), {.tap = tap});
    EXPECT_EQ(compared, model->shape().layers + 1);
  }
}

TEST(ModelGoldens, LossAndEveryGradientEqualTransformers) {
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    auto model = load_model(folder);
    const auto ids = expected("ids_c");
    const auto tokens = ids.size(1);
    const auto embeddings = model->embed(ids).detach().requires_grad_(true);
    // The last token predicts nothing; the loss is the mean over the others. The input's gradient counts the embedding only as input,
    // so that the weight's golden, which also counts the look-up, is compared in a second pass from ids.
    const auto targets = at::cat({ids.narrow(1, 1, tokens - 1), at::full({ids.size(0), 1}, ignored_target, at::kLong)}, 1);
    const HeadLossOptions options{.scale = 1.0 / static_cast<double>(ids.size(0) * (tokens - 1))};
    next_token_loss(model->head_input(model->forward_embeddings(embeddings)), model->head(), targets, options).loss.backward();
    EXPECT_LT(relative(embeddings.grad(), expected("grad.inputs_embeds")), 1e-5) << folder.filename();
    for (auto& parameter : model->parameters().all()) parameter.value.mutable_grad() = at::Tensor();
    const auto loss = next_token_loss(model->head_input(model->forward_ids(ids)), model->head(), targets, options).loss;
    EXPECT_NEAR(loss.item<double>(), expected("loss_c").item<double>(), 1e-5) << folder.filename();
    loss.backward();
    double whole = 0;
    for (const auto& parameter : model->parameters().all()) whole += parameter.value.grad().to(at::kDouble).square().sum().item<double>();
    for (const auto& parameter : model->parameters().all()) {
      const auto bare = parameter.name.starts_with(model->prefix()) ? parameter.name.substr(model->prefix().size()) : parameter.name;
      const auto golden = expected(expected.has("grad." + parameter.name) ? "grad." + parameter.name : "grad." + bare);
      const double difference = (parameter.value.grad() - golden).norm().item<double>();
      // 1e-4 is what is promised; a gradient that is zero but for rounding (GPT-2's key bias) is compared with the whole one.
      EXPECT_LT(difference, std::max(1e-5 * golden.norm().item<double>(), 1e-6 * std::sqrt(whole)))
          << folder.filename() << ' ' << parameter.name;
    }
  }
}

TEST(ModelGoldens, GreedyGenerationOf64TokensIsIdentical) {
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    auto model = load_model(folder);
    const auto flat = [&](const std::string& name) {
      const auto t = expected(name).flatten().to(at::kInt);
      return std::vector<TokenId>(t.const_data_ptr<int>(), t.const_data_ptr<int>() + t.numel());
    };
    auto text = flat("greedy_prompt");
    const auto answer = generate(*model, text, {.max_tokens = 64, .sampling = {.temperature = 0}, .slide = true});
    text.insert(text.end(), answer.begin(), answer.end());
    EXPECT_EQ(text, flat("greedy_ids")) << folder.filename();
  }
}

TEST(ModelGoldens, TokenByTokenEqualsTheWholeForward) {
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    auto model = load_model(folder);
    const at::NoGradGuard no_grad;
    const auto ids = expected("ids_c");
    const auto whole = model->logits(model->forward_ids(ids));
    for (const std::vector<std::int64_t>& cuts :
         {std::vector<std::int64_t>{5}, {1, 1, 1}, {32}}) {  // a long prompt, tokens one by one, a chunk after a chunk
      KvCache cache(ids.size(1));
      std::int64_t at = 0;
      for (std::size_t i = 0; at < ids.size(1); ++i) {
        const auto count = std::min(i < cuts.size() ? cuts[i] : (cuts.size() == 1 ? 7 : 1), ids.size(1) - at);
        const auto part = model->logits(model->forward_ids(ids.narrow(1, at, count), {.cache = &cache}));
        EXPECT_LT(relative_max(part, whole.narrow(1, at, count)), 1e-5) << folder.filename() << " at " << at;
        at += count;
      }
    }
  }
}

/// ids_c's two rows side by side in one: [1, 2 · 33].
struct Packed {
  explicit Packed(const Goldens& expected)
      : ids(expected("ids_c").reshape({1, 66})), documents(at::arange(2, at::kLong).repeat_interleave(33).unsqueeze(0)) {}
  at::Tensor ids, documents;
};

TEST(ModelGoldens, ADocumentDoesNotSeeTheOneBefore) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    const Packed packed(expected);
    const auto together = [&](at::ScalarType dtype) {
      auto model = load_model(folder, {.dtype = dtype});
      return model->logits(model->forward_ids(packed.ids, {.documents = packed.documents})).view({2, 33, -1});
    };
    EXPECT_LT(relative_max(together(at::kFloat), expected("logits64_c")), 1e-5) << folder.filename();
    EXPECT_LT(relative(together(at::kBFloat16), expected("logits64_c")), 1.25 * expected("bf16_error_c").item<double>())
        << folder.filename();
  }
}

TEST(ModelGoldens, GradientsOfPackedDocumentsAreTheSumOfTheirs) {
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    const Packed packed(expected);
    auto model = load_model(folder);
    const auto loss = [&](const at::Tensor& ids, const at::Tensor& documents) {
      const auto targets = at::cat({ids.narrow(1, 1, ids.size(1) - 1), at::full({1, 1}, ignored_target, at::kLong)}, 1);
      if (documents.defined()) targets[0][32] = ignored_target;
      return next_token_loss(model->head_input(model->forward_ids(ids, {.documents = documents})), model->head(), targets,
                             {.scale = 1.0 / 64})
          .loss;
    };
    std::vector<at::Tensor> apart;
    for (const auto first : {0, 33}) loss(packed.ids.narrow(1, first, 33), {}).backward();
    for (auto& parameter : model->parameters().all()) {
      apart.push_back(parameter.value.grad().clone());
      parameter.value.mutable_grad() = at::Tensor();
    }
    loss(packed.ids, packed.documents).backward();
    double whole = 0;
    for (const auto& gradient : apart) whole += gradient.to(at::kDouble).square().sum().item<double>();
    for (std::size_t i = 0; i < apart.size(); ++i) {
      const auto& parameter = model->parameters().all()[i];
      EXPECT_LT((parameter.value.grad() - apart[i]).norm().item<double>(),
                std::max(1e-5 * apart[i].norm().item<double>(), 1e-6 * std::sqrt(whole)))
          << folder.filename() << ' ' << parameter.name;
    }
  }
}

TEST(ModelGoldens, Bfloat16IsAsExactAsThatOfTransformers) {
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    auto model = load_model(folder, {.dtype = at::kBFloat16});
    const at::NoGradGuard no_grad;
    const auto error = relative(model->logits(model->forward_ids(expected("ids_c"))), expected("logits64_c"));
    EXPECT_LT(error, 1.25 * expected("bf16_error_c").item<double>()) << folder.filename();
  }
}

TEST(ModelGoldens, Float16IsMoreExactThanBfloat16) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    const auto model = load_model(folder, {.dtype = at::kHalf});
    const auto ids = expected("ids_c");
    const auto tokens = ids.size(1);
    const double bound = expected("bf16_error_c").item<double>();
    const auto hidden = model->forward_ids(ids);
    EXPECT_LT(relative(model->logits(hidden), expected("logits64_c")), bound) << folder.filename();
    const auto targets = at::cat({ids.narrow(1, 1, tokens - 1), at::full({ids.size(0), 1}, ignored_target, at::kLong)}, 1);
    const HeadLossOptions options{.scale = 1.0 / static_cast<double>(ids.size(0) * (tokens - 1))};
    EXPECT_NEAR(next_token_loss(model->head_input(hidden), model->head(), targets, options).loss.item<double>(),
                expected("loss_c").item<double>(), 1e-2)
        << folder.filename();
    KvCache cache(tokens);
    std::vector<at::Tensor> parts;
    for (std::int64_t at = 0; at < tokens; ++at)
      parts.push_back(model->logits(model->forward_ids(ids.narrow(1, at, 1), {.cache = &cache})));
    EXPECT_LT(relative(at::cat(parts, 1), expected("logits64_c")), bound) << folder.filename();
  }
}

TEST(ModelGoldens, Bfloat16TokenByTokenIsAsExactAsTheWhole) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : decoder_folders()) {
    const Goldens expected(folder / "expected.safetensors");
    auto model = load_model(folder, {.dtype = at::kBFloat16});
    const auto ids = expected("ids_c");
    KvCache cache(ids.size(1));
    std::vector<at::Tensor> parts;
    for (std::int64_t at = 0; at < ids.size(1); ++at)
      parts.push_back(model->logits(model->forward_ids(ids.narrow(1, at, 1), {.cache = &cache})));
    EXPECT_LT(relative(at::cat(parts, 1), expected("logits64_c")), 1.25 * expected("bf16_error_c").item<double>()) << folder.filename();
  }
}

TEST(ModelGoldens, SavedFoldersReadBackBitForBit) {
  for (const auto& folder : decoder_folders()) {
    auto model = load_model(folder);
    const test::TestFolder out;
    save_model(*model, out.path(), {.max_shard_bytes = 20000});
    auto again = load_model(out.path());
    for (const auto& parameter : model->parameters().all())
      EXPECT_TRUE(at::equal(parameter.value, again->parameters().find(parameter.name)->value))
          << folder.filename() << ' ' << parameter.name;
  }
}

}  // namespace
}  // namespace isotrope

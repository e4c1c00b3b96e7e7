#include "isotrope/infer/embed.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/infer/fill.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::relative;

/// Texts of these lengths, with segments.
std::vector<TokenSequence> texts_of(std::initializer_list<int> lengths) {
  std::vector<TokenSequence> texts;
  int next = 0;
  for (const auto length : lengths) {
    auto& text = texts.emplace_back();
    for (int i = 0; i < length; ++i) text.ids.push_back(5 + next++ * 7 % 30), text.types.push_back(i > length / 2);
  }
  return texts;
}

class Embed : public testing::Test {
 protected:
  static std::unique_ptr<Model> encoder(const std::string& name = "bert_bare") { return load_model(test::source("data/encoders/" + name)); }
  static std::unique_ptr<Model> decoder() { return load_model(test::source("data/models/llama_gqa2_theta5e5")); }

  /// The final hidden states of one text, [tokens, d].
  static at::Tensor hidden(Model& model, const TokenSequence& text) {
    const at::NoGradGuard no_grad;
    const auto row = [](const auto& v) { return at::tensor(std::vector<std::int64_t>(v.begin(), v.end())).unsqueeze(0); };
    return model.forward_ids(row(text.ids), {.token_types = row(text.types)})[0];
  }
};

TEST_F(Embed, GivesEachTextWhatItHasAlone) {
  const auto texts = texts_of({3, 9, 1, 9, 9, 30, 3, 7});
  for (const auto& model : {encoder(), encoder("modernbert_bare"), encoder("distilbert_bare"), decoder()})
    for (const std::int64_t batch_tokens : {1, 20, 4096}) {
      const auto mean = embed(*model, texts, {.batch_tokens = batch_tokens});
      const auto first = embed(*model, texts, {.pooling = Pooling::cls, .batch_tokens = batch_tokens});
      const auto last = embed(*model, texts, {.pooling = Pooling::last, .batch_tokens = batch_tokens});
      const auto largest = embed(*model, texts, {.pooling = Pooling::max, .normalize = true, .batch_tokens = batch_tokens});
      const auto all = embed(*model, texts, {.pooling = Pooling::none, .batch_tokens = batch_tokens});
      std::int64_t at = 0;
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const auto alone = hidden(*model, texts[i]);
        const auto row = static_cast<std::int64_t>(i), length = alone.size(0);
        EXPECT_LT(relative(mean[row], alone.mean(0)), 1e-5);
        EXPECT_LT(relative(first[row], alone[0]), 1e-5);
        EXPECT_LT(relative(last[row], alone[length - 1]), 1e-5);
        const auto top = std::get<0>(alone.max(0));
        EXPECT_LT(relative(largest[row], top / top.norm()), 1e-5);
        EXPECT_LT(relative(all.narrow(0, at, length), alone), 1e-5);
        at += length;
      }
      EXPECT_EQ(all.size(0), at);
    }
}

TEST_F(Embed, TakesAnyLayerAndSumsOrJoinsSeveral) {
  const auto model = encoder("modernbert_bare");  // whose final states are not those behind the last block
  const auto texts = texts_of({6});
  std::vector<at::Tensor> states(4);
  const Tap tap([&](std::string_view point, std::int64_t layer, const at::Tensor& value) {
    if (point == "embed") states[0] = value[0];
    if (point == "resid_post") states[layer + 1] = value[0];
  });
  {
    const at::NoGradGuard no_grad;
    model->forward_ids(at::tensor(std::vector<std::int64_t>(texts[0].ids.begin(), texts[0].ids.end())).unsqueeze(0), {.tap = tap});
  }
  const auto features = [&](std::vector<std::int64_t> layers, bool concatenate = false) {
    return embed(*model, texts, {.layers = std::move(layers), .concatenate = concatenate, .pooling = Pooling::none});
  };
  for (std::int64_t layer = 0; layer <= 3; ++layer) {
    EXPECT_LT(relative(features({layer}), states[layer]), 1e-5);
    EXPECT_LT(relative(features({layer - 4}), states[layer]), 1e-5);
  }
  EXPECT_LT(relative(features({1, -1}), states[1] + states[3]), 1e-5);
  EXPECT_LT(relative(features({1, -1}, true), at::cat({states[1], states[3]}, 1)), 1e-5);
  EXPECT_GT(relative(features({}), states[3]), 0.1);
  EXPECT_THROW(features({4}), UsageError);
  EXPECT_THROW(features({-5}), UsageError);
}

TEST_F(Embed, RefusesTextsThatTheModelCannotRead) {
  const auto model = encoder();
  EXPECT_THROW(embed(*model, texts_of({3, 0}), {}), InputError);
  EXPECT_THROW(embed(*model, texts_of({132}), {}), InputError);
  auto texts = texts_of({3});
  texts[0].ids[1] = 43;
  EXPECT_THROW(embed(*model, texts, {}), InputError);
  EXPECT_EQ(embed(*model, {}, {}).size(0), 0);
}

TEST_F(Embed, StopsWhenItIsAskedTo) {
  const auto model = encoder();
  EXPECT_THROW(embed(*model, texts_of({3, 3}), {.stop_requested = [] { return true; }}), Interrupted);
}

TEST(SentenceRecipes, AreReadFromTheFolder) {
  const test::TestFolder folder;
  EXPECT_FALSE(read_sentence_recipe(folder.path()));
  const auto put = [&](const std::string& file, const std::string& text) {
    fs::create_directories((folder / file).parent_path());
    write_file(folder / file, text, "test");
  };
  const std::string transformer = R"({"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"})";
  const std::string pooling = R"({"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"})";
  put("modules.json", "[" + transformer + ", " + pooling + "]");
  put("1_Pooling/config.json", R"({"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  auto recipe = read_sentence_recipe(folder.path()).value();
  EXPECT_EQ(recipe.pooling, Pooling::cls);
  EXPECT_FALSE(recipe.normalize);
  EXPECT_EQ(recipe.max_length, 0);
  put("modules.json", "[" + transformer + ", " + pooling + R"(, {"path": "2", "type": "sentence_transformers.models.Normalize"}])");
  put("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})");
  put("sentence_bert_config.json", R"({"max_seq_length": 256, "do_lower_case": false})");
  recipe = read_sentence_recipe(folder.path()).value();
  EXPECT_EQ(recipe.pooling, Pooling::mean);
  EXPECT_TRUE(recipe.normalize);
  EXPECT_EQ(recipe.max_length, 256);
  put("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true})");
  EXPECT_THROW(read_sentence_recipe(folder.path()), InputError);
  put("1_Pooling/config.json", R"({"pooling_mode_mean_sqrt_len_tokens": true})");
  EXPECT_THROW(read_sentence_recipe(folder.path()), InputError);
  put("modules.json", R"([{"path": "", "type": "sentence_transformers.models.Dense"}])");
  EXPECT_THROW(read_sentence_recipe(folder.path()), InputError);
  put("modules.json", "{}");
  EXPECT_THROW(read_sentence_recipe(folder.path()), InputError);
}

TEST(FillMasks, FindsTheLikeliestTokensOfEachMask) {
  const auto model = load_model(test::source("data/encoders/bert_pretraining"));
  const TokenSequence text{{7, 4, 9, 4, 11}, {0, 0, 0, 1, 1}};
  const auto found = fill_masks(*model, text, 4, 3);
  ASSERT_EQ(found.size(), 2U);
  const at::NoGradGuard no_grad;
  const auto hidden = model->forward_ids(at::tensor({7, 4, 9, 4, 11}, at::kLong).unsqueeze(0),
                                         {.token_types = at::tensor({0, 0, 0, 1, 1}, at::kLong).unsqueeze(0)});
  const auto probabilities = at::softmax(model->logits(hidden)[0], 1);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto row = probabilities[i == 0 ? 1 : 3];
    const auto [values, ids] = row.topk(3);
    ASSERT_EQ(found[i].size(), 3U);
    for (int j = 0; j < 3; ++j) {
      EXPECT_EQ(found[i][j].id, ids[j].item<std::int64_t>());
      EXPECT_NEAR(found[i][j].probability, values[j].item<double>(), 1e-6);
    }
  }
  const auto narrow = fill_masks(*model, text, 4, 100, 20);
  ASSERT_EQ(narrow[0].size(), 20U);
  for (const auto& candidate : narrow[0]) EXPECT_LT(candidate.id, 20);
}

TEST(FillMasks, NeedAMaskAnEncoderAndItsHead) {
  const auto encoder = load_model(test::source("data/encoders/bert_pretraining"));
  EXPECT_THROW(fill_masks(*encoder, {{7, 8}, {0, 0}}, 4, 3), InputError);
  EXPECT_THROW(fill_masks(*encoder, {std::vector<TokenId>(132, 4), std::vector<std::int32_t>(132)}, 4, 3), InputError);
  const auto bare = load_model(test::source("data/encoders/bert_bare"));
  EXPECT_THROW(fill_masks(*bare, {{4}, {0}}, 4, 3), InputError);
  const auto decoder = load_model(test::source("data/models/gpt2_tied"));
  EXPECT_THROW(fill_masks(*decoder, {{4}, {0}}, 4, 3), InputError);
}

}  // namespace
}  // namespace isotrope

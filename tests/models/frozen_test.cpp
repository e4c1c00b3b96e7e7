// Gradients by the input of a model whose weights are frozen: attribution, descent on embeddings.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "isotrope/kernels/head_probabilities.h"
#include "isotrope/models/model.h"
#include "tests/kernels/watched_allocator.h"

namespace isotrope {
namespace {

TEST(FrozenModels, GiveTheGradientOfTheirInputWithoutAnyOfTheirWeights) {
  constexpr std::int64_t vocabulary = 30000, width = 32;
  const auto config = nlohmann::json::parse(R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32,
    "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 30000,
    "max_position_embeddings": 64, "tie_word_embeddings": true})");
  const auto model = make_model(config, {}, "config.json");
  initialize_(model->parameters(), 1);
  const auto ids = at::arange(16, at::kLong).unsqueeze(0), target = at::tensor({7}, at::kLong);
  const auto gradient = [&](bool frozen) {
    for (auto& parameter : model->parameters().all()) parameter.value.set_requires_grad(!frozen);
    const auto embeddings = model->embed(ids).detach().set_requires_grad(true);
    const auto bytes = test::largest_allocation([&] {
      const auto last = model->forward_embeddings(embeddings).select(1, -1);
      token_log_probabilities(model->head_input(last), model->head(), target).sum().backward();
    });
    return std::pair(embeddings.grad(), bytes);
  };
  const auto [frozen, few] = gradient(true);
  EXPECT_LT(few, vocabulary * width * 4) << "no buffer of the head's size";
  for (const auto& parameter : model->parameters().all()) EXPECT_FALSE(parameter.value.grad().defined()) << parameter.name;
  const auto [trained, many] = gradient(false);
  EXPECT_GE(many, vocabulary * width * 4);
  EXPECT_TRUE(at::allclose(frozen, trained, 1e-5, 1e-7));
  EXPECT_GT(frozen.norm().item<double>(), 0);
}

}  // namespace
}  // namespace isotrope

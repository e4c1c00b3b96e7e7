// ELMo's language model against the same network written out step by step, and its objective from either side.
#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/train/step.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::relative;

const nlohmann::json config{
    {"architectures", {"ElmoForBiLM"}}, {"model_type", "elmo"}, {"vocab_size", 23}, {"projection_size", 6}, {"cell_size", 10},
    {"num_hidden_layers", 2},           {"dropout", 0.0}};

std::unique_ptr<Model> make(at::ScalarType dtype = at::kFloat, const nlohmann::json& changes = {}) {
  auto changed = config;
  if (!changes.is_null()) changed.update(changes);
  auto model = make_model(changed, {.dtype = at::kFloat}, "config.json");
  initialize_(model->parameters(), 5);
  const at::NoGradGuard no_grad;
  for (auto& p : model->parameters().all()) {
    if (p.kind == ParameterClass::vector) p.value.copy_(0.3 * at::sin(at::arange(p.value.numel(), at::kFloat)));
    p.value.set_data(p.value.to(dtype));
  }
  return model;
}

at::Tensor ids_of(std::int64_t rows, std::int64_t tokens, std::int64_t first = 0) {
  return ((at::arange(rows * tokens, at::kLong) + first) * 7 % 23).view({rows, tokens});
}

/// The recurrence, token by token, in float64.
at::Tensor written_out(const Model& model, const std::string& name, const at::Tensor& x, bool backwards) {
  const auto weight = [&](const char* part) { return model.parameters().find(name + part)->value.to(at::kDouble); };
  const auto w_ih = weight(".weight_ih"), w_hh = weight(".weight_hh"), b = weight(".bias"), w_hr = weight(".weight_hr");
  auto h = at::zeros({x.size(0), w_hr.size(0)}, at::kDouble), c = at::zeros({x.size(0), w_hr.size(1)}, at::kDouble);
  std::vector<at::Tensor> out(static_cast<std::size_t>(x.size(1)));
  for (std::int64_t i = 0; i < x.size(1); ++i) {
    const auto t = backwards ? x.size(1) - 1 - i : i;
    const auto gates = (at::matmul(x.select(1, t), w_ih.t()) + at::matmul(h, w_hh.t()) + b).chunk(4, 1);
    c = at::sigmoid(gates[1] + 1) * c + at::sigmoid(gates[0]) * at::tanh(gates[2]);
    h = at::matmul(at::sigmoid(gates[3]) * at::tanh(c), w_hr.t());
    out[static_cast<std::size_t>(t)] = h;
  }
  return at::stack(out, 1);
}

at::Tensor expected(const Model& model, const at::Tensor& ids) {
  const auto x = at::embedding(model.parameters().find("token_embedding.weight")->value, ids).to(at::kDouble);
  std::vector<at::Tensor> both;
  for (const bool backwards : {false, true}) {
    const std::string name = backwards ? "backward." : "forward.";
    const auto first = written_out(model, name + "0", x, backwards);
    both.push_back(first + written_out(model, name + "1", first, backwards));
  }
  return at::cat(both, 2);
}

TEST(Elmo, EqualsItsRecurrenceWrittenOut) {
  const at::NoGradGuard no_grad;
  auto model = make();
  for (const std::int64_t tokens : {1, 7, 33}) {
    const auto ids = ids_of(3, tokens);
    EXPECT_LT(relative(model->forward_ids(ids), expected(*model, ids)), 1e-5) << tokens;
  }
  auto rounded = make(at::kBFloat16);
  const auto ids = ids_of(3, 33);
  EXPECT_LT(relative(rounded->forward_ids(ids), expected(*model, ids)), 2e-2);
}

TEST(Elmo, LossAndGradientsAreThoseOfTheRecurrence) {
  auto model = make();
  const auto ids = ids_of(2, 9), next = ids_of(2, 9, 3);
  Batch batch{.ids = ids, .targets = next.clone(), .backward_targets = next.flip(1).contiguous(), .counted = 18, .backward_counted = 17};
  batch.backward_targets[1][0] = ignored_target;
  Predictions predictions;
  const auto loss = batch_loss(*model, batch, StepCounts({&batch, 1}), {}, 0, predictions);
  const auto mean_nll = [&](const at::Tensor& hidden, const at::Tensor& targets) {
    const auto w = model->head().weight.to(at::kDouble), b = model->head().bias.to(at::kDouble);
    return at::cross_entropy_loss((at::matmul(hidden, w.t()) + b).flatten(0, 1), targets.flatten());
  };
  const auto hidden = expected(*model, ids);
  const auto exact = mean_nll(hidden.narrow(2, 0, 6), batch.targets) + mean_nll(hidden.narrow(2, 6, 6), batch.backward_targets);
  EXPECT_NEAR(loss.item<double>(), exact.item<double>(), 1e-5);
  EXPECT_NEAR(predictions.loss(), exact.item<double>(), 1e-5);
  EXPECT_EQ(predictions.backward.count, 17);
  std::vector<at::Tensor> values;
  for (const auto& p : model->parameters().all()) values.push_back(p.value);
  loss.backward();
  std::vector<at::Tensor> found;
  for (auto& p : model->parameters().all()) found.push_back(p.value.grad().clone()), p.value.mutable_grad() = at::Tensor();
  exact.backward();
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_LT(relative(found[i], values[i].grad()), 1e-4) << model->parameters().all()[i].name;
}

TEST(Elmo, TextsInOneRowDoNotSeeEachOther) {
  const at::NoGradGuard no_grad;
  auto model = make();
  const auto first = ids_of(1, 5), second = ids_of(1, 9, 2);
  const auto documents = at::cat({at::zeros({1, 5}, at::kLong), at::ones({1, 9}, at::kLong)}, 1);
  const auto together = model->forward_ids(at::cat({first, second}, 1), {.documents = documents});
  EXPECT_LT(relative(together.narrow(1, 5, 9), model->forward_ids(second)), 1e-6);
  EXPECT_LT(relative(together.narrow(1, 0, 5), model->forward_ids(first)), 1e-6);
}

TEST(Elmo, TapsSeeTheTokenLayerTwiceAndEveryLayer) {
  const at::NoGradGuard no_grad;
  auto model = make();
  std::map<std::int64_t, at::Tensor> states;
  const Tap tap([&](std::string_view, std::int64_t layer, const at::Tensor& value) { states[layer] = value; });
  const auto ids = ids_of(2, 4);
  const auto last = model->forward_ids(ids, {.tap = tap});
  const auto token = model->embed(ids);
  EXPECT_TRUE(at::equal(states.at(-1), at::cat({token, token}, 2)));
  EXPECT_TRUE(at::equal(states.at(1), last));
  EXPECT_EQ(states.size(), 3U);
}

TEST(Elmo, SavedFoldersReadBackBitForBitAndWithATiedSoftmax) {
  for (const bool tied : {false, true}) {
    auto model = make(at::kFloat, {{"tie_word_embeddings", tied}});
    const test::TestFolder folder;
    save_model(*model, folder.path());
    auto again = load_model(folder.path());
    EXPECT_EQ(again->parameters().all().size(), tied ? 18U : 19U);
    for (const auto& p : model->parameters().all()) EXPECT_TRUE(at::equal(p.value, again->parameters().find(p.name)->value)) << p.name;
  }
  EXPECT_THROW(make(at::kFloat, {{"token_encoder", "char_cnn"}}), InputError);
}

}  // namespace
}  // namespace isotrope

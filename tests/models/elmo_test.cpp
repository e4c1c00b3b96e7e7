// ELMo's language model against the same network written out step by step, here and in Python (tools/oracles/elmo_goldens.py, which wrote
// tests/data/elmo), and its objective from either side.
#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/infer/fill.h"
#include "isotrope/infer/generate.h"
#include "isotrope/io/json.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/nn/character_cnn.h"
#include "isotrope/train/step.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::relative;

const nlohmann::json elmo_config{
    {"architectures", {"ElmoForBiLM"}}, {"model_type", "elmo"}, {"vocab_size", 23}, {"projection_size", 6}, {"cell_size", 10},
    {"num_hidden_layers", 2},           {"dropout", 0.0}};

std::unique_ptr<Model> make_elmo(at::ScalarType dtype = at::kFloat, const nlohmann::json& changes = {}) {
  auto changed = elmo_config;
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

std::unique_ptr<Objective> bilm(const Model& model) {
  RunConfig config;
  config.train.context = 9;
  return make_objective({model, config, /*tokenizer=*/nullptr});
}

Batch bilm_batch(const at::Tensor& ids, const at::Tensor& next, const at::Tensor& previous, std::int64_t forward, std::int64_t backward) {
  return {
      .ids = ids, .tensors = {{"targets", next}, {"backward_targets", previous}}, .counts = {{"token", forward}, {"backward", backward}}};
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
  auto model = make_elmo();
  for (const std::int64_t tokens : {1, 7, 33}) {
    const auto ids = ids_of(3, tokens);
    EXPECT_LT(relative(model->forward_ids(ids), expected(*model, ids)), 1e-5) << tokens;
  }
  auto rounded = make_elmo(at::kBFloat16);
  const auto ids = ids_of(3, 33);
  EXPECT_LT(relative(rounded->forward_ids(ids), expected(*model, ids)), 2e-2);
}

TEST(Elmo, LossAndGradientsAreThoseOfTheRecurrence) {
  auto model = make_elmo();
  const auto ids = ids_of(2, 9), next = ids_of(2, 9, 3);
  const auto previous = next.flip(1).contiguous();
  previous[1][0] = ignored_target;
  const auto batch = bilm_batch(ids, next.clone(), previous, 18, 17);
  Measures measures;
  const auto loss = bilm(*model)->loss(*model, batch, StepCounts({&batch, 1}), {}, measures);
  const auto mean_nll = [&](const at::Tensor& hidden, const at::Tensor& targets) {
    const auto w = model->head().weight().to(at::kDouble), b = model->head().bias.to(at::kDouble);
    return at::cross_entropy_loss((at::matmul(hidden, w.t()) + b).flatten(0, 1), targets.flatten());
  };
  const auto hidden = expected(*model, ids);
  const auto exact = mean_nll(hidden.narrow(2, 0, 6), next) + mean_nll(hidden.narrow(2, 6, 6), previous);
  EXPECT_NEAR(loss.item<double>(), exact.item<double>(), 1e-5);
  EXPECT_NEAR(measures.loss(), exact.item<double>(), 1e-5);
  EXPECT_EQ(measures.part("backward").count, 17);
  std::vector<at::Tensor> values;
  for (const auto& p : model->parameters().all()) values.push_back(p.value);
  loss.backward();
  std::vector<at::Tensor> found;
  for (auto& p : model->parameters().all()) found.push_back(p.value.grad().clone()), p.value.mutable_grad() = at::Tensor();
  exact.backward();
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_LT(relative(found[i], values[i].grad()), 1e-4) << model->parameters().all()[i].name;
}

TEST(Elmo, NeitherFillsMasksNorWritesText) {
  auto model = make_elmo();
  const TokenSequence text{.ids = {1, 2, 3}, .types = {0, 0, 0}};
  EXPECT_THROW(fill_masks(*model, text, 2, 1, 23), InputError);
  EXPECT_THROW(generate(*model, std::vector<TokenId>{1, 2}, {}), InputError);
}

TEST(Elmo, TextsInOneRowDoNotSeeEachOther) {
  const at::NoGradGuard no_grad;
  auto model = make_elmo();
  const auto first = ids_of(1, 5), second = ids_of(1, 9, 2);
  const auto documents = at::cat({at::zeros({1, 5}, at::kLong), at::ones({1, 9}, at::kLong)}, 1);
  const auto together = model->forward_ids(at::cat({first, second}, 1), {.documents = documents});
  EXPECT_LT(relative(together.narrow(1, 5, 9), model->forward_ids(second)), 1e-6);
  EXPECT_LT(relative(together.narrow(1, 0, 5), model->forward_ids(first)), 1e-6);
}

TEST(Elmo, TapsSeeTheTokenLayerTwiceAndEveryLayer) {
  const at::NoGradGuard no_grad;
  auto model = make_elmo();
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
    auto model = make_elmo(at::kFloat, {{"tie_word_embeddings", tied}});
    const test::TestFolder folder;
    save_model(*model, folder.path());
    auto again = load_model(folder.path());
    EXPECT_EQ(again->parameters().all().size(), tied ? 18U : 19U);
    for (const auto& p : model->parameters().all()) EXPECT_TRUE(at::equal(p.value, again->parameters().find(p.name)->value)) << p.name;
  }
}

std::vector<fs::path> golden_folders() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(test::source("data/elmo"))) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

TEST(ElmoGoldens, StatesAndLogitsOfBothDirections) {
  const at::NoGradGuard no_grad;
  ASSERT_GE(golden_folders().size(), 7U);
  for (const auto& folder : golden_folders()) {
    const test::Goldens expected(folder / "expected.safetensors");
    for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const auto model = load_model(folder, {.dtype = dtype});
      const double tolerance = dtype == at::kFloat ? 1e-5 : 4e-2;
      for (const std::string input : {"a", "b", "c"}) {
        const auto where = folder.filename().string() + ' ' + input + ' ' + c10::toString(dtype);
        std::size_t seen = 0;
        const Tap tap([&](std::string_view, std::int64_t layer, const at::Tensor& value) {
          EXPECT_LT(relative(value, expected("states_" + input + '.' + std::to_string(layer + 1))), tolerance) << where << ' ' << layer;
          ++seen;
        });
        const auto hidden = model->forward_ids(expected("ids_" + input), {.tap = tap});
        EXPECT_EQ(seen, static_cast<std::size_t>(model->shape().layers + 1)) << where;
        EXPECT_LT(relative(model->logits(hidden), expected("logits_" + input)), tolerance) << where;
        const auto backward = at::linear(model->backward_head_input(hidden), model->head().weight(), model->head().bias);
        EXPECT_LT(relative(backward, expected("backward_logits_" + input)), tolerance) << where;
      }
    }
  }
}

TEST(ElmoGoldens, PaddingOnEitherSideChangesNothing) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : golden_folders()) {
    const test::Goldens expected(folder / "expected.safetensors");
    const auto model = load_model(folder);
    const auto ids = expected("ids_a");
    const auto left = [&](const at::Tensor& x) { return x[0].narrow(0, 3, 7); };
    const auto right = [&](const at::Tensor& x) { return x[1].narrow(0, 0, 7); };
    auto padded = at::ones({2, 10}, at::kLong), mask = at::zeros({2, 10}, at::kLong);
    left(padded).copy_(ids[0]), right(padded).copy_(ids[1]);
    left(mask).fill_(1), right(mask).fill_(1);
    const auto hidden = model->forward_ids(padded, {.documents = mask});
    const auto golden = expected("states_a." + std::to_string(model->shape().layers));
    EXPECT_LT(relative(at::stack({left(hidden), right(hidden)}), golden), 1e-5) << folder.filename();
  }
}

TEST(ElmoGoldens, LossAndEveryGradient) {
  for (const auto& folder : golden_folders()) {
    const test::Goldens expected(folder / "expected.safetensors");
    const auto model = load_model(folder);
    const auto ids = expected("ids_a");
    auto next = at::full_like(ids, ignored_target), previous = at::full_like(ids, ignored_target);
    const auto last = ids.size(1) - 1;
    next.narrow(1, 0, last).copy_(ids.narrow(1, 1, last));
    previous.narrow(1, 1, last).copy_(ids.narrow(1, 0, last));
    const auto batch = bilm_batch(ids, next, previous, ids.size(0) * last, ids.size(0) * last);
    Measures measures;
    const auto loss = bilm(*model)->loss(*model, batch, StepCounts({&batch, 1}), {}, measures);
    EXPECT_NEAR(loss.item<double>(), expected("loss_a").item<double>(), 1e-5) << folder;
    loss.backward();
    for (const auto& p : model->parameters().all())
      EXPECT_LT(relative(p.value.grad(), expected("grad." + p.name)), 1e-4) << folder.filename() << ' ' << p.name;
  }
}

const nlohmann::json from_characters{{"token_encoder", "char_cnn"},
                                     {"max_characters", 8},
                                     {"character_embedding_size", 3},
                                     {"filters", {{1, 4}, {3, 5}}},
                                     {"num_highway_layers", 1}};

TEST(ElmoCharacters, TableHoldsBytesBetweenBeginAndEnd) {
  const std::vector<std::string> texts{"", " a", "\xc3\xa9", "abcdefgh"};
  const auto table = character_table(texts, 6);
  const auto row = [&](std::int64_t i) { return std::vector<int>(table[i].data_ptr<int>(), table[i].data_ptr<int>() + 6); };
  EXPECT_EQ(row(0), (std::vector<int>{256, 257, 258, 258, 258, 258}));
  EXPECT_EQ(row(1), (std::vector<int>{256, ' ', 'a', 257, 258, 258}));
  EXPECT_EQ(row(2), (std::vector<int>{256, 0xc3, 0xa9, 257, 258, 258}));
  EXPECT_EQ(row(3), (std::vector<int>{256, 'a', 'b', 'c', 'd', 257}));
}

TEST(ElmoCharacters, TokensOfOneTextShareAnEmbeddingAndFoldersKeepTheTable) {
  auto model = make_elmo(at::kFloat, from_characters);
  EXPECT_THROW(model->embed(ids_of(1, 3)), WorkError) << "no texts yet";
  std::vector<std::string> texts;
  for (int i = 0; i < 20; ++i) texts.push_back("t" + std::to_string(i % 10));
  model->set_token_texts(texts);
  const auto rows = model->embed(at::arange(23, at::kLong).unsqueeze(0))[0].detach();
  EXPECT_LT(relative(rows.narrow(0, 0, 10), rows.narrow(0, 10, 10)), 1e-6);
  EXPECT_GT(relative(rows[0], rows[1]), 1e-2);
  EXPECT_LT(relative(rows[20], rows[22]), 1e-6) << "past the last text";

  const test::TestFolder folder;
  save_model(*model, folder.path());
  auto again = load_model(folder.path());
  const auto ids = ids_of(2, 11);
  EXPECT_TRUE(at::equal(again->forward_ids(ids), model->forward_ids(ids)));
}

void expect_refusal(const std::function<void()>& act, const std::string& message) {
  try {
    act();
    ADD_FAILURE() << "accepted; expected: " << message;
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
  }
}

TEST(ElmoCharacters, FoldersAndConfigsThatCannotBe) {
  auto model = make_elmo(at::kFloat, from_characters);
  model->set_token_texts({});
  const test::TestFolder folder;
  for (const int character : {-1, 259}) {
    auto table = model->tables().at("token_characters");
    const auto before = std::exchange(table.mutable_data_ptr<int>()[3], character);
    save_model(*model, folder.path());
    expect_refusal([&] { load_model(folder.path()); }, "tensor token_characters: expected numbers from 0 to 258");
    table.mutable_data_ptr<int>()[3] = before;
  }
  save_model(*model, folder.path());
  auto json = read_json(folder.path() / "config.json", "test");
  json["max_characters"] = 9;
  write_file(folder.path() / "config.json", json.dump(), "test");
  expect_refusal([&] { load_model(folder.path()); }, "tensor token_characters: expected shape [23, 9], got [23, 8]");
  json["token_encoder"] = "embedding";
  write_file(folder.path() / "config.json", json.dump(), "test");
  EXPECT_THROW(load_model(folder.path()), InputError);

  const auto refused = [](const nlohmann::json& changes, const std::string& message) {
    auto all = from_characters;
    all.update(changes);
    expect_refusal([&] { make_elmo(at::kFloat, all); }, message);
  };
  refused({{"token_encoder", "words"}}, "token_encoder \"words\" is not supported (embedding, char_cnn)");
  refused({{"tie_word_embeddings", true}}, "tie_word_embeddings needs token_encoder \"embedding\"");
  refused({{"filters", {{9, 4}}}}, "a filter 9 characters wide needs max_characters ≥ 9, got 8");
  for (const auto* filters : {"[]", "[[1]]", "[[1, 2], [0, 3]]", "[[1, 2.5]]", "[[1, 99999999]]", "[3]"})
    refused({{"filters", nlohmann::json::parse(filters)}}, "\"filters\": expected pairs of whole numbers from 1 to 1048576");
}

}  // namespace
}  // namespace isotrope

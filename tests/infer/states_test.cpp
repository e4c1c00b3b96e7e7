#include "isotrope/infer/states.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/models/checkpoint.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

/// The folders that the goldens have, of every shape of every family.
std::vector<fs::path> folders() {
  std::vector<fs::path> all;
  for (const auto* place : {"data/models", "data/encoders", "data/elmo"})
    for (const auto& entry : fs::directory_iterator(test::source(place)))
      if (fs::exists(entry.path() / "config.json")) all.push_back(entry.path());
  return all;
}

std::vector<TokenSequence> sequences_for(const Model& model) {
  std::vector<TokenSequence> all;
  for (const int length : {5, 9, 1, 9}) {
    TokenSequence sequence;
    for (int i = 0; i < length; ++i)
      sequence.ids.push_back(static_cast<TokenId>((i * 7 + length) % std::min<std::int64_t>(model.shape().vocab_size, 40)));
    all.push_back(sequence);
  }
  return all;
}

at::Tensor ids_of(const TokenSequence& sequence) {
  return at::tensor(std::vector<std::int64_t>(sequence.ids.begin(), sequence.ids.end())).unsqueeze(0);
}

TEST(States, EverySequenceHasThoseOfItAlone) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : folders()) {
    const auto model = load_model(folder, {.dtype = at::kFloat});
    const auto sequences = sequences_for(*model);
    std::map<std::pair<std::string, std::int64_t>, std::vector<at::Tensor>> found;
    const auto all = [](std::string_view, std::int64_t) { return true; };
    collect_states(*model, sequences, {.wanted = all, .batch_tokens = 16}, [&](const StateBlock& block) {
      auto& of_point = found[{std::string(block.point), block.layer}];
      of_point.resize(sequences.size());
      ASSERT_EQ(block.starts.size(), block.sequences.size() + 1);
      EXPECT_EQ(block.starts.back(), block.states.size(0));
      for (std::size_t i = 0; i < block.sequences.size(); ++i)
        of_point[block.sequences[i]] = block.states.narrow(0, block.starts[i], block.starts[i + 1] - block.starts[i]).clone();
    });
    EXPECT_GE(std::ssize(found), model->shape().layers + 2) << folder;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const Tap tap([&](std::string_view point, std::int64_t layer, const at::Tensor& value) {
        EXPECT_TRUE(at::allclose(found.at({std::string(point), layer})[i], value.squeeze(0), 1e-4, 1e-5))
            << folder << ' ' << point << layer;
      });
      const auto hidden = model->forward_ids(ids_of(sequences[i]), {.tap = tap});
      EXPECT_TRUE(at::allclose(found.at({"hidden", -1})[i], hidden.squeeze(0), 1e-4, 1e-5)) << folder;
    }
  }
}

TEST(States, RefusesSequencesThatTheModelCannotRead) {
  const auto model = load_model(folders().front());
  const auto none = [](std::string_view, std::int64_t) { return false; };
  const std::vector<TokenSequence> empty(1), strange{{.ids = {static_cast<TokenId>(model->shape().vocab_size)}}};
  EXPECT_THROW(collect_states(*model, empty, {.wanted = none}, [](const StateBlock&) {}), InputError);
  EXPECT_THROW(collect_states(*model, strange, {.wanted = none}, [](const StateBlock&) {}), InputError);
  const std::vector<TokenSequence> one{{.ids = {1, 2}}};
  EXPECT_THROW(collect_states(*model, one, {.wanted = none, .stop_requested = [] { return true; }}, [](const StateBlock&) {}), Interrupted);
}

/// Every tap of every family is one that the pass goes on from: what is put in its place reaches the output, and what is put back as it was
/// changes nothing, to the rounding of a norm made anew.
TEST(Interventions, EveryTapReplacesWhatItSaw) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : folders()) {
    const auto model = load_model(folder, {.dtype = at::kFloat});
    const auto ids = ids_of(sequences_for(*model)[1]);
    std::set<std::pair<std::string, std::int64_t>> points;
    const auto plain = model->forward_ids(
        ids, {.tap = [&](std::string_view point, std::int64_t layer, const at::Tensor&) { points.emplace(std::string(point), layer); }});
    EXPECT_TRUE(at::equal(plain, model->forward_ids(ids))) << folder;
    for (const auto& [name, at_layer] : points) {
      const auto replaced = [&](const std::function<at::Tensor(const at::Tensor&)>& change) {
        return model->forward_ids(ids, {.tap = [&](std::string_view point, std::int64_t layer, const at::Tensor& value) {
                                    return point == name && layer == at_layer ? change(value) : at::Tensor();
                                  }});
      };
      EXPECT_TRUE(at::allclose(replaced([](const at::Tensor& x) { return x.clone(); }), plain, 1e-5, 1e-6))
          << folder << ' ' << name << at_layer;
      EXPECT_FALSE(at::allclose(replaced([](const at::Tensor& x) { return x.flip(-1) + 1; }), plain, 1e-3, 1e-3))
          << folder << ' ' << name << at_layer;
    }
  }
}

TEST(Interventions, AProjectionOfALayersOutputIsWhatTheNextLayersRead) {
  // The output of layer 0 without its first principal direction, computed by hand through the layers behind it.
  const at::NoGradGuard no_grad;
  const auto model = load_model(test::source("data/models/llama_gqa2_theta5e5"), {.dtype = at::kFloat});
  const auto ids = ids_of(sequences_for(*model)[1]);
  at::Tensor seen;
  const auto look = [&](std::string_view point, std::int64_t layer, const at::Tensor& x) {
    if (point == "resid_post" && layer == 0) seen = x;
  };
  static_cast<void>(model->forward_ids(ids, {.tap = look}));
  const auto direction = std::get<2>(at::linalg_svd(seen.squeeze(0), /*full_matrices=*/false)).select(0, 0);
  const auto project = [&](const at::Tensor& x) { return x - at::matmul(x, direction).unsqueeze(-1) * direction; };
  std::map<std::string, at::Tensor> at_next;
  const auto hidden = model->forward_ids(ids, {.tap = [&](std::string_view point, std::int64_t layer, const at::Tensor& x) {
                                           if (layer == 1) at_next.emplace(std::string(point), x);
                                           return point == "resid_post" && layer == 0 ? project(x) : at::Tensor();
                                         }});
  // What layer 1 adds is added to the projection.
  const auto base = at_next.at("resid_mid") - at_next.at("attn_out");
  EXPECT_TRUE(at::allclose(base, project(seen), 1e-5, 1e-5));
  EXPECT_LT(at::matmul(base, direction).abs().max().item<double>(), 1e-4);
  EXPECT_FALSE(at::allclose(hidden, model->forward_ids(ids), 1e-3, 1e-3));
}

}  // namespace
}  // namespace isotrope

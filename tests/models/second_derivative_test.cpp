// Whole models inside a ComposedScope: the Hessian times a vector against finite differences of the gradient, in float64.
#include <gtest/gtest.h>

#include <set>

#include "isotrope/base/error.h"
#include "isotrope/kernels/composed.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/models/registry.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

using test::relative;
using test::relative_max;
using torch::autograd::variable_list;

/// A tiny model of tests/data and the input that its golden file is about.
struct TinyModel {
  explicit TinyModel(const fs::path& folder, at::ScalarType dtype = at::kDouble)
      : model(load_model(folder, {.dtype = dtype})), ids(test::Goldens(folder / "expected.safetensors")("ids_a")) {
    for (const auto& parameter : model->parameters().all()) weights.push_back(parameter.value);
  }

  /// Hidden states and the logits of every head, each [rows, n]. Two documents a row; in training with the config's dropout.
  std::vector<at::Tensor> results(bool training) {
    const auto dropout = training ? Dropout(3, 4, 0) : Dropout();
    const auto documents = (at::arange(ids.size(1), at::kLong) > 3).to(at::kLong).expand_as(ids).contiguous();
    const auto hidden = model->forward_ids(ids, {.documents = documents, .dropout = dropout});
    std::vector<at::Tensor> all{hidden.flatten(0, 1)};
    const auto& head = model->head();
    if (model->has_head()) all.push_back(model->logits(hidden).flatten(0, 1));
    if (model->reads_backwards()) all.push_back(at::linear(model->backward_head_input(hidden), head.weight(), head.bias).flatten(0, 1));
    if (model->has_pair_head()) all.push_back(model->pair_logits(hidden.select(1, 0), dropout));
    return all;
  }

  variable_list gradients(bool create_graph) {
    at::Tensor loss;
    for (const auto& logits : results(/*training=*/true)) {
      const auto part = at::cross_entropy_loss(logits, at::arange(logits.size(0), at::kLong) * 5 % logits.size(1));
      loss = loss.defined() ? loss + part : part;
    }
    return filled(torch::autograd::grad({loss}, weights, {}, std::nullopt, create_graph, /*allow_unused=*/true));
  }

  /// One vector a weight.
  variable_list directions() const {
    variable_list all;
    for (std::size_t i = 0; i < weights.size(); ++i)
      all.push_back(at::randn(weights[i].sizes(), at::make_generator<at::CPUGeneratorImpl>(i), at::kDouble).to(weights[i].scalar_type()));
    return all;
  }

  variable_list by_graph() {
    const auto slopes = gradients(/*create_graph=*/true), along = directions();
    auto sum = at::zeros({}, slopes[0].options());
    for (std::size_t i = 0; i < slopes.size(); ++i) sum = sum + (slopes[i] * along[i]).sum();
    return filled(torch::autograd::grad({sum}, weights, {}, std::nullopt, false, /*allow_unused=*/true));
  }

  variable_list by_differences(double step) {
    const auto along = directions();
    const auto after = [&](double by) {
      const at::NoGradGuard no_grad;
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i].add_(along[i], by);
      const at::AutoGradMode grad(true);
      return gradients(/*create_graph=*/false);
    };
    auto above = after(step);
    const auto below = after(-2 * step);
    for (std::size_t i = 0; i < weights.size(); ++i) above[i] = (above[i] - below[i]) / (2 * step);
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i].add_(along[i], step);
    return above;
  }

  /// Zeros for the weights that a result does not depend on.
  variable_list filled(variable_list found) const {
    for (std::size_t i = 0; i < found.size(); ++i)
      if (!found[i].defined()) found[i] = at::zeros_like(weights[i]);
    return found;
  }

  std::unique_ptr<Model> model;
  at::Tensor ids;
  variable_list weights;
};

std::vector<fs::path> tiny_models() {
  std::vector<fs::path> all;
  for (const auto* kind : {"models", "encoders", "elmo"})
    for (const auto& entry : fs::directory_iterator(test::source("data") / kind))
      if (fs::exists(entry.path() / "expected.safetensors")) all.push_back(entry.path());
  std::ranges::sort(all);
  return all;
}

TEST(SecondDerivativesOfModels, AreThoseOfFiniteDifferences) {
  std::set<std::string> families;
  for (const auto& folder : tiny_models()) {
    const ComposedScope composed;
    TinyModel tiny(folder);
    const auto exact = tiny.by_graph(), near = tiny.by_differences(1e-6);  // a step on which no relu of the models turns over
    double largest = 0;
    for (const auto& x : near) largest = std::max(largest, x.norm().item<double>());
    EXPECT_GT(largest, 0);
    for (std::size_t i = 0; i < exact.size(); ++i)  // differences of numbers of that size, divided by the step, end in noise
      EXPECT_LT((exact[i] - near[i]).norm().item<double>(), 1e-6 * near[i].norm().item<double>() + 1e-9 * largest)
          << folder.filename() << ' ' << tiny.model->parameters().all()[i].name;
    families.insert(model_type_of(tiny.model->config(), folder.string()));
  }
  const auto known = known_model_types();
  EXPECT_EQ(families, std::set<std::string>(known.begin(), known.end()));
}

TEST(SecondDerivativesOfModels, AreRefusedOutsideOfTheScope) {
  for (const auto* folder : {"data/models/llama_mqa_biases", "data/encoders/modernbert_masked_lm", "data/models/mamba2_groups"})
    EXPECT_THROW(TinyModel(test::source(folder), at::kFloat).gradients(/*create_graph=*/true), WorkError) << folder;
}

TEST(SecondDerivativesOfModels, AreInFp32ThoseOfFloat64) {
  const ComposedScope composed;
  for (const auto* folder : {"data/models/llama_mqa_biases", "data/encoders/modernbert_masked_lm", "data/models/mamba2_groups"}) {
    TinyModel narrow(test::source(folder), at::kFloat), wide(test::source(folder));
    const auto found = narrow.by_graph(), exact = wide.by_graph();
    std::vector<at::Tensor> a, b;
    for (std::size_t i = 0; i < found.size(); ++i) a.push_back(found[i].flatten()), b.push_back(exact[i].flatten());
    EXPECT_LT(relative(at::cat(a), at::cat(b)), 1e-5) << folder;
  }
}

TEST(SecondDerivativesOfModels, PassThroughACache) {
  const ComposedScope composed;
  for (const auto* folder : {"data/models/llama_mqa_biases", "data/models/bloom_4_heads", "data/models/falcon_h1_norm_after"}) {
    TinyModel tiny(test::source(folder));
    const auto by_graph = [&](const at::Tensor& hidden) {
      const auto slopes = tiny.filled(torch::autograd::grad({hidden.sin().sum()}, tiny.weights, {}, std::nullopt, true, true));
      auto sum = at::zeros({}, hidden.options());
      for (const auto& slope : slopes) sum = sum + slope.square().sum();
      return tiny.filled(torch::autograd::grad({sum}, tiny.weights, {}, std::nullopt, false, true));
    };
    KvCache cache(tiny.ids.size(1));
    const auto first = tiny.model->forward_ids(tiny.ids.narrow(1, 0, 4), {.cache = &cache});
    const auto rest = tiny.model->forward_ids(tiny.ids.narrow(1, 4, tiny.ids.size(1) - 4), {.cache = &cache});
    const auto found = by_graph(at::cat({first, rest}, 1)), whole = by_graph(tiny.model->forward_ids(tiny.ids));
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_LT(relative(found[i], whole[i]), 1e-9) << folder << ' ' << tiny.model->parameters().all()[i].name;
  }
}

TEST(SecondDerivativesOfModels, TheComposedModelInFloat64IsTheModel) {
  const at::NoGradGuard no_grad;
  for (const auto& folder : tiny_models()) {
    const auto fast = TinyModel(folder, at::kFloat).results(false);
    const ComposedScope composed;
    const auto exact = TinyModel(folder).results(false);
    ASSERT_EQ(exact.size(), fast.size());
    for (std::size_t i = 0; i < exact.size(); ++i) {
      EXPECT_EQ(exact[i].scalar_type(), at::kDouble) << folder.filename();
      EXPECT_LT(relative_max(fast[i], exact[i]), 1e-5) << folder.filename() << ' ' << i;  // as in the goldens; found: 1e-6
    }
  }
}

}  // namespace
}  // namespace isotrope

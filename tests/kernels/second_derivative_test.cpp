// Second derivatives: refused by name where a kernel has none, and inside a ComposedScope those of finite differences.
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <map>
#include <regex>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/kernels/activations.h"
#include "isotrope/kernels/attention.h"
#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/kernels/causal_conv1d.h"
#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/kernels/head_probabilities.h"
#include "isotrope/kernels/linear.h"
#include "isotrope/kernels/norms.h"
#include "isotrope/kernels/projected_lstm.h"
#include "isotrope/kernels/rope.h"
#include "isotrope/kernels/selective_scan.h"
#include "isotrope/nn/attend.h"
#include "isotrope/nn/dropout.h"
#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using at::Tensor;
using test::bf16_bound, test::fp32_bound, test::leaf, test::normal, test::relative, test::worst;
using torch::autograd::variable_list;

struct OperationCase {
  std::string function;  ///< as its backward pass names itself; empty: libtorch's own derivatives outside of the scope too
  std::string what;
  std::vector<Tensor> inputs;  ///< in float64
  std::function<Tensor(const variable_list&)> call;
  at::ScalarType type = at::kFloat;  ///< that the kernel takes
};

/// Several results as one.
Tensor joined(const std::vector<Tensor>& results) {
  std::vector<Tensor> flat;
  for (const auto& result : results) flat.push_back(result.flatten());
  return at::cat(flat);
}

Tensor numbers_from(const std::vector<std::int64_t>& numbers) { return at::tensor(numbers, at::kLong).unsqueeze(0); }

std::vector<OperationCase> elementwise() {
  const auto x = normal({3, 37}, 1), y = normal({3, 37}, 2);
  return {
      {"swiglu", "", {x, y}, [](const variable_list& in) { return swiglu(in[0], in[1]); }},
      {"gelu_tanh", "", {x}, [](const variable_list& in) { return gelu_tanh(in[0]); }},
      {"", "gelu", {x}, [](const variable_list& in) { return isotrope::gelu(in[0]); }},
      {"", "silu", {x}, [](const variable_list& in) { return isotrope::silu(in[0]); }},
      {"", "softplus", {x}, [](const variable_list& in) { return isotrope::softplus(in[0]); }},
      {"", "dropout", {x}, [](const variable_list& in) { return Dropout(1, 2, 0)(in[0].square(), 0.3); }},
  };
}

std::vector<OperationCase> norms() {
  const auto x = normal({5, 37}, 1), delta = normal({5, 37}, 2), gain = normal({37}, 3), bias = normal({37}, 4);
  const auto both = [](const Residual& out) { return joined({out.sum, out.normed}); };
  return {
      {"norm", "rms_norm", {x, gain}, [](const variable_list& in) { return rms_norm(in[0], in[1], 1e-5); }},
      {"norm", "layer_norm", {x, gain, bias}, [](const variable_list& in) { return layer_norm(in[0], in[1], in[2], 1e-5); }},
      {"norm", "layer_norm without a bias", {x, gain}, [](const variable_list& in) { return layer_norm(in[0], in[1], {}, 1e-5); }},
      {"norm", "add_rms_norm", {x, delta, gain}, [=](const variable_list& in) { return both(add_rms_norm(in[0], in[1], in[2], 1e-5)); }},
      {"norm",
       "add_layer_norm",
       {x, delta, gain, bias},
       [=](const variable_list& in) { return both(add_layer_norm(in[0], in[1], in[2], in[3], 1e-5)); }},
  };
}

std::vector<OperationCase> ropes() {
  const auto angles = normal({9, 4}, 5).to(at::kFloat);
  const auto positions = at::cat({numbers_from({0, 1, 2, 0, 1}), numbers_from({3, 4, 5, 6, 8})});
  return {{"rope", "", {normal({2, 5, 3, 8}, 1)}, [=](const variable_list& in) {
             return rope(in[0], {angles.cos(), angles.sin()}, positions);
           }}};
}

/// Each in bf16 for the own blocks, and in fp32 for libtorch's kernels.
std::vector<OperationCase> attentions() {
  static const SequenceTree tree{{{0, 6, -1, 0}, {6, 12, 0, 6}, {12, 18, 0, 6}}};
  const auto documents = (at::arange(18, at::kLong) >= 7).to(at::kLong).unsqueeze(0).repeat({2, 1});
  const auto alternating = at::arange(18, at::kLong).remainder(2).unsqueeze(0).repeat({2, 1});
  const auto slopes = alibi_slopes(4, at::kCPU);
  struct Shape {
    std::string what;
    AttentionOptions options;
    std::int64_t batch = 2, queries = 18;
    bool fused = true;
  };
  std::vector<OperationCase> all;
  for (const auto& shape : std::vector<Shape>{
           {"causal", {}},
           {"behind a cache", {}, 2, 16},
           {"a window", {.window = 3}},
           {"a window on both sides", {.causal = false, .window = 4}},
           {"everything", {.scale = 0.3, .causal = false}},
           {"documents", {.documents = documents}},
           {"documents that take turns", {.causal = false, .documents = alternating}},
           {"slopes", {.slopes = slopes}},
           {"slopes, documents and a window", {.documents = documents, .window = 5, .slopes = slopes}},
           {"sequences", {.sequences = &tree, .window = 7, .slopes = slopes}, 1, 18, false},
           {"dropout", {.on_probabilities = [](const Tensor& p) { return Dropout(1, 2, 0)(p, 0.2); }}, 2, 18, false},
       }) {
    const auto call = [options = shape.options](const variable_list& in) { return attention(in[0], in[1], in[2], options); };
    const std::vector<Tensor> inputs{normal({shape.batch, 4, shape.queries, 8}, 1), normal({shape.batch, 2, 18, 8}, 2),
                                     normal({shape.batch, 2, 18, 8}, 3)};
    all.push_back({"", shape.what, inputs, call});
    if (shape.fused) all.push_back({"attention", shape.what, inputs, call, at::kBFloat16});
  }
  return all;
}

std::vector<OperationCase> recurrences() {
  const auto documents = (at::arange(9, at::kLong) >= 4).to(at::kLong).unsqueeze(0).repeat({2, 1});
  const auto positive = [](at::IntArrayRef shape, std::uint64_t seed) { return 0.1 + 0.3 * normal(shape, seed).abs(); };
  const auto scan = [](const variable_list& in, const ScanOptions& options) {
    const auto out = selective_scan({in[0], in[1], in[2], in[3], in[4], in[5]}, options);
    return joined({out.y, out.state});
  };
  const auto scanned = [&](std::int64_t tokens) {
    return std::vector<Tensor>{normal({2, tokens, 4, 3}, 1), positive({2, tokens, 4}, 2),  -positive({4}, 3),
                               normal({2, tokens, 2, 5}, 4), normal({2, tokens, 2, 5}, 5), normal({4}, 6)};
  };
  auto continued = scanned(9);
  continued.push_back(normal({2, 4, 3, 5}, 7));
  const std::vector<Tensor> convolved{normal({2, 9, 6}, 1), normal({6, 4}, 2), normal({6}, 3), normal({2, 3, 6}, 4)};
  const std::vector<Tensor> gates{normal({2, 9, 20}, 1), 0.3 * normal({20, 4}, 2), 0.3 * normal({4, 5}, 3)};
  return {
      {"selective_scan", "more than a chunk", scanned(70), [=](const variable_list& in) { return scan(in, {}); }},
      {"selective_scan", "documents", scanned(9), [=](const variable_list& in) { return scan(in, {.documents = documents}); }},
      {"selective_scan", "a state", continued, [=](const variable_list& in) { return scan(in, {documents, in[6]}); }},
      {"causal_conv1d",
       "",
       {convolved.begin(), convolved.begin() + 2},
       [](const variable_list& in) { return causal_conv1d(in[0], in[1], {}); }},
      {"causal_conv1d", "a state, documents and silu", convolved,
       [=](const variable_list& in) {
         return causal_conv1d(in[0], in[1], in[2], {.silu = true, .documents = documents, .initial_state = in[3]});
       }},
      {"projected_lstm", "", gates, [](const variable_list& in) { return projected_lstm(in[0], Linear(in[1]).slot, Linear(in[2]).slot); }},
      {"projected_lstm", "documents, backwards", gates,
       [=](const variable_list& in) {
         return projected_lstm(in[0], Linear(in[1]).slot, Linear(in[2]).slot, {.documents = documents, .backwards = true});
       }},
  };
}

/// W, r, c, s, A, B and b of a layer of 7 → 5, from the second input on.
Linear layer_from(const variable_list& in) {
  Linear layer(in[1], in[7]);
  auto& s = *layer.slot;
  s.row = in[2], s.column = in[3], s.scale = in[4], s.down = in[5], s.up = in[6], s.lora_scale = 0.7;
  return layer;
}

std::vector<OperationCase> matrices() {
  const auto ids = at::tensor({0, 4, 1, 4}, at::kLong);
  const std::vector<Tensor> all{normal({4, 7}, 1), normal({5, 7}, 2), normal({5}, 3),    normal({7}, 4),
                                normal({}, 5),     normal({2, 7}, 6), normal({5, 2}, 7), normal({5}, 8)};
  const auto q = at::softmax(normal({4, 5}, 9), 1), weights = normal({4}, 12).abs(), seen = normal({4, 3}, 10),
             teacher = normal({5, 3}, 11);
  const auto typed = [](const Tensor& x, const variable_list& in) { return x.to(in[0].scalar_type()); };
  const std::vector<Tensor> table(all.begin() + 1, all.begin() + 2);
  return {
      {"linear", "", all, [](const variable_list& in) { return layer_from(in)(in[0]); }},
      {"", "embedding_lookup", table, [=](const variable_list& in) { return embedding_lookup(Linear(in[0]).slot, ids); }},
      {"head_loss", "", all,
       [=](const variable_list& in) {
         return head_loss(in[0], layer_from(in), ids, {.scale = 0.5, .z_loss = 0.1, .weights = typed(weights, in)}).loss.unsqueeze(0);
       }},
      {"head_probabilities", "token_log_probabilities", all,
       [=](const variable_list& in) { return token_log_probabilities(in[0], layer_from(in), ids); }},
      {"head_probabilities", "head_cross_entropy", all,
       [=](const variable_list& in) { return head_cross_entropy(in[0], layer_from(in), q); }},
      {"head_probabilities", "head_kl", all,
       [=](const variable_list& in) { return head_kl(in[0], layer_from(in), typed(seen, in), Linear(typed(teacher, in)), 2); }},
  };
}

std::vector<OperationCase> all_cases() {
  std::vector<OperationCase> all;
  for (const auto& part : {elementwise(), norms(), ropes(), attentions(), recurrences(), matrices()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::string name_of(const OperationCase& c) { return c.function + ' ' + c.what; }

variable_list leaves(const OperationCase& c, at::ScalarType type) {
  variable_list in;
  for (const auto& input : c.inputs) in.push_back(leaf(input, type));
  return in;
}

/// Gradients of a number made from the result, which is not linear in it.
variable_list gradients(const OperationCase& c, const variable_list& in, bool create_graph) {
  const auto out = c.call(in).to(at::promoteTypes(in[0].scalar_type(), at::kFloat));
  const auto loss = (out * normal(out.sizes(), 98).to(out.scalar_type()) + 0.5 * out.square()).sum();
  return torch::autograd::grad({loss}, in, {}, std::nullopt, create_graph);
}

/// Where the second derivative is asked about.
variable_list directions(const variable_list& in) {
  variable_list all;
  for (std::size_t i = 0; i < in.size(); ++i) all.push_back(normal(in[i].sizes(), 50 + i).to(in[i].scalar_type()));
  return all;
}

/// The Hessian times directions(in).
variable_list by_graph(const OperationCase& c, const variable_list& in) {
  const auto slopes = gradients(c, in, /*create_graph=*/true), along = directions(in);
  auto sum = at::zeros({}, slopes[0].options());
  for (std::size_t i = 0; i < in.size(); ++i) sum = sum + (slopes[i] * along[i]).sum();
  return torch::autograd::grad({sum}, in);
}

/// The same from gradients at two points near by.
variable_list by_differences(const OperationCase& c, const variable_list& in) {
  constexpr double step = 1e-4;
  const auto along = directions(in);
  const auto moved = [&](double by) {
    variable_list there;
    for (std::size_t i = 0; i < in.size(); ++i) there.push_back(leaf(in[i] + by * along[i], at::kDouble));
    return gradients(c, there, /*create_graph=*/false);
  };
  auto above = moved(step);
  const auto below = moved(-step);
  for (std::size_t i = 0; i < in.size(); ++i) above[i] = (above[i] - below[i]) / (2 * step);
  return above;
}

TEST(SecondDerivatives, EveryKernelRefusesThemByName) {
  for (const auto& c : all_cases()) {
    if (c.function.empty()) continue;
    gradients(c, leaves(c, c.type), false);
    try {
      gradients(c, leaves(c, c.type), true);
      ADD_FAILURE() << name_of(c);
    } catch (const WorkError& error) {
      EXPECT_EQ(error.where(), "autograd");
      EXPECT_TRUE(error.message().starts_with(c.function + ": ")) << name_of(c) << ": " << error.message();
      EXPECT_NE(error.hint(), "");
    }
  }
}

TEST(SecondDerivatives, AreThoseOfFiniteDifferencesInFloat64) {
  for (const auto& c : all_cases()) {
    const ComposedScope composed;
    const auto in = leaves(c, at::kDouble);
    const auto exact = by_graph(c, in), near = by_differences(c, in);
    for (std::size_t i = 0; i < in.size(); ++i) EXPECT_LT(relative(exact[i], near[i]), 1e-6) << name_of(c) << ", input " << i;
  }
}

TEST(SecondDerivatives, TakeTheKernelsOwnPrecisions) {
  for (const auto& c : all_cases()) {
    const ComposedScope composed;
    const auto in = leaves(c, c.type);
    variable_list wide;
    for (const auto& x : in) wide.push_back(leaf(x, at::kDouble));
    const auto found = by_graph(c, in), exact = by_graph(c, wide);
    for (std::size_t i = 0; i < in.size(); ++i)
      EXPECT_LT(relative(found[i], exact[i]), c.type == at::kFloat ? 1e-5 : 2e-2) << name_of(c) << ", input " << i;
  }
}

TEST(SecondDerivatives, ResultsAndGradientsEqualTheKernels) {
  for (const auto& c : all_cases()) {
    const auto composed = [&](const variable_list& in) {
      const ComposedScope scope;
      return c.call(in);
    };
    EXPECT_LT(worst(c.inputs, c.type, c.call, composed), c.type == at::kFloat ? fp32_bound : bf16_bound) << name_of(c);
  }
}

TEST(SecondDerivatives, TheForwardPassChoosesForTheBackwardPass) {
  const OperationCase c = elementwise().front();
  const auto in = leaves(c, at::kFloat);
  const auto recorded = [&] {
    const ComposedScope composed;
    return c.call(in).sum();
  }();
  EXPECT_FALSE(is_composed());
  std::async(std::launch::async, [&] {
    const auto slope = torch::autograd::grad({recorded}, in, {}, std::nullopt, /*create_graph=*/true)[0];
    EXPECT_GT(torch::autograd::grad({slope.sum()}, in)[0].norm().item<double>(), 0);
  }).get();
  const auto fused = c.call(in).sum();
  const ComposedScope composed;
  EXPECT_THROW(torch::autograd::grad({fused}, in, {}, std::nullopt, /*create_graph=*/true), WorkError);
}

TEST(SecondDerivatives, ScopesLieInsideEachOtherAndBelongToTheirThread) {
  const ComposedScope outer;
  { const ComposedScope inner; }
  EXPECT_TRUE(is_composed());
  EXPECT_FALSE(std::async(std::launch::async, is_composed).get());
}

TEST(SecondDerivatives, ABatchInvariantScopeChangesNothingInside) {
  const at::NoGradGuard no_grad;
  const ComposedScope composed;
  for (const auto& c : all_cases()) {
    const auto in = leaves(c, c.type);
    const auto plain = c.call(in);
    const BatchInvariantScope invariant;
    EXPECT_TRUE(at::equal(c.call(in), plain)) << name_of(c);
  }
}

TEST(SecondDerivatives, GradientSinksArePassedBy) {
  const auto cases = recurrences();
  auto c = *std::ranges::find(cases, "projected_lstm", &OperationCase::function);
  const ComposedScope composed;
  const auto in = leaves(c, at::kFloat);
  const auto plain = by_graph(c, in);
  const auto sink = at::zeros_like(in[1]);
  c.call = [=](const variable_list& weights) {
    const Linear hh(weights[1]);
    hh.slot->sink = {sink};
    return projected_lstm(weights[0], hh.slot, Linear(weights[2]).slot);
  };
  EXPECT_TRUE(at::equal(by_graph(c, in)[1], plain[1]));
  EXPECT_EQ(sink.count_nonzero().item<std::int64_t>(), 0);
}

TEST(SecondDerivatives, RowsIntoASinkRefuseThemByName) {
  const Linear table(leaf(normal({5, 7}, 1), at::kFloat));
  table.slot->sink = {at::zeros({5, 7})};
  const auto rows = embedding_lookup(table.slot, at::tensor({1, 4}, at::kLong));
  try {
    rows.sum().backward({}, std::nullopt, /*create_graph=*/true);
    ADD_FAILURE();
  } catch (const WorkError& error) {
    EXPECT_TRUE(error.message().starts_with("embedding_lookup: ")) << error.message();
  }
}

// Why attention has a composed way in float64 too. When libtorch learns it, this fails.
TEST(SecondDerivatives, LibtorchsOwnAttentionHasNone) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    const auto x = leaf(normal({1, 2, 18, 8}, 1), type);
    const auto slope = torch::autograd::grad({attention(x, x, x).square().sum()}, {x}, {}, std::nullopt, /*create_graph=*/true)[0];
    try {
      torch::autograd::grad({slope.square().sum()}, {x});
      ADD_FAILURE();
    } catch (const c10::Error& error) {
      EXPECT_NE(std::string(error.what()).find("is not implemented"), std::string::npos) << error.what();
    }
  }
}

/// The custom functions of a source: what each backward pass calls itself, by its struct; empty where its first line refuses nothing.
std::map<std::string, std::string> functions_of(const std::string& text) {
  static const std::regex begin(R"(autograd::Function<(\w+)>)");
  static const std::regex refusal(R"re(variable_list backward\([^{]*\{\s*refuse_second_derivative\("(\w+)"\);)re");
  std::map<std::string, std::string> all;
  for (std::sregex_iterator at(text.begin(), text.end(), begin), end; at != end; ++at) {
    const auto after = at->suffix().first, next = std::next(at) == end ? text.end() : (*std::next(at))[0].first;
    std::smatch found;
    all[(*at)[1]] = std::regex_search(after, next, found, refusal) ? found[1].str() : "";
  }
  return all;
}

TEST(SecondDerivatives, TheTableHoldsEveryCustomFunctionOfTheSources) {
  std::set<std::string> refusing, in_table{"embedding_lookup"};  // whose gradient leaves autograd: it has a test of its own
  for (const auto& entry : fs::recursive_directory_iterator(test::source("../isotrope"))) {
    if (!std::set<std::string>{".cpp", ".h", ".inl"}.contains(entry.path().extension())) continue;
    for (const auto& [function, name] : functions_of(read_file(entry.path(), "test"))) {
      EXPECT_NE(name, "") << entry.path() << ": the backward pass of " << function << " does not begin with refuse_second_derivative";
      EXPECT_TRUE(refusing.insert(name).second) << entry.path() << ": two functions call themselves " << name;
    }
  }
  for (const auto& c : all_cases())
    if (!c.function.empty()) in_table.insert(c.function);
  EXPECT_EQ(in_table, refusing);
}

}  // namespace
}  // namespace isotrope

// The scan and the convolution of state-space layers; in the suite that runs once for every instruction set.
#include <gtest/gtest.h>

#include <ATen/Parallel.h>
#include <rapidcheck/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/causal_conv1d.h"
#include "isotrope/kernels/selective_scan.h"
#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using at::Tensor;
using test::bf16_bound, test::leaf, test::normal, test::relative;
using torch::autograd::variable_list;

struct ScanCase {
  std::int64_t batch, tokens, heads, channels, groups, states;
  bool documents = false, initial = false;
};

std::ostream& operator<<(std::ostream& out, const ScanCase& c) {
  return out << c.batch << 'x' << c.tokens << " tokens, " << c.heads << " heads of " << c.channels << ", " << c.groups << " groups, "
             << c.states << " states, documents " << c.documents << ", initial state " << c.initial;
}

/// x, dt, A, B, C, D and, if asked for, the initial state.
std::vector<Tensor> scan_inputs(const ScanCase& c) {
  std::vector<Tensor> inputs{normal({c.batch, c.tokens, c.heads, c.channels}, 1),
                             at::softplus(normal({c.batch, c.tokens, c.heads}, 2) - 2),
                             -at::exp(normal({c.heads}, 3)),
                             normal({c.batch, c.tokens, c.groups, c.states}, 4),
                             normal({c.batch, c.tokens, c.groups, c.states}, 5),
                             normal({c.heads}, 6)};
  if (c.initial) inputs.push_back(normal({c.batch, c.heads, c.channels, c.states}, 7));
  return inputs;
}

/// Documents of 5, 1, 40, 2 … tokens, shifted from row to row.
Tensor documents_of(std::int64_t batch, std::int64_t tokens) {
  auto documents = at::empty({batch, tokens}, at::kLong);
  for (std::int64_t row = 0; row < batch; ++row) {
    const std::int64_t lengths[] = {5, 1, 40, 2, 33};
    std::int64_t number = 0, left = 5 + row;
    for (std::int64_t t = 0; t < tokens; ++t) {
      if (left-- == 0) left = lengths[++number % 5] - 1;
      documents[row][t] = number;
    }
  }
  return documents;
}

using Scan = std::function<ScanResult(const ScanInputs&, const ScanOptions&)>;

/// Both results of a scan and the gradients of every input, on values of `type` (dt, A, D and states fp32 where it is bf16).
std::vector<Tensor> run_scan(const ScanCase& c, at::ScalarType type, const Scan& scan, bool exact) {
  variable_list in;
  const auto inputs = scan_inputs(c);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool narrow = i == 0 || i == 3 || i == 4;
    const auto rounded = inputs[i].to(narrow ? type : at::kFloat);
    in.push_back(leaf(rounded, exact ? at::kDouble : rounded.scalar_type()));
  }
  ScanOptions options;
  if (c.documents) options.documents = documents_of(c.batch, c.tokens);
  if (c.initial) options.initial_state = in[6];
  const auto [y, state] = scan({in[0], in[1], in[2], in[3], in[4], in[5]}, options);
  auto results = torch::autograd::grad(
      {y, state}, in, {normal(y.sizes(), 8).to(type).to(y.scalar_type()), normal(state.sizes(), 9).to(at::kFloat).to(state.scalar_type())});
  results.push_back(y), results.push_back(state);
  return results;
}

/// ‖got − expected‖ / ‖expected‖ of each result, where one vanishes (A's gradient after a single token) or cancels against a hundredth of
/// them all.
void expect_near(const std::vector<Tensor>& got, const std::vector<Tensor>& expected, double bound, const auto& about) {
  double whole = 0;
  for (const auto& result : expected) whole += result.square().sum().item<double>();
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].sizes(), expected[i].sizes());
    const auto difference = (got[i].to(at::kDouble) - expected[i]).norm().item<double>();
    EXPECT_LT(difference, bound * std::max(expected[i].norm().item<double>(), 0.01 * std::sqrt(whole))) << about << ", result " << i;
  }
}

/// In float64, on one thread: the operations are too small for two.
std::vector<Tensor> exact_scan(const ScanCase& c, at::ScalarType type, const Scan& scan = &reference::selective_scan) {
  const auto before = at::get_num_threads();
  at::set_num_threads(1);
  auto results = run_scan(c, type, scan, true);
  at::set_num_threads(before);
  return results;
}

const Scan kernel = [](const ScanInputs& in, const ScanOptions& options) { return selective_scan(in, options); };

void expect_scan(const ScanCase& c, at::ScalarType type, double bound) {
  expect_near(run_scan(c, type, kernel, false), exact_scan(c, type), bound, c);
}

const ScanCase scan_cases[] = {{1, 1, 1, 1, 1, 1},
                               {2, 33, 6, 4, 2, 4},
                               {1, 1, 4, 16, 2, 8, false, true},
                               {2, 129, 4, 17, 1, 9},
                               {3, 70, 6, 33, 2, 13, true},
                               {2, 40, 5, 8, 5, 24, true, true},
                               {1, 100, 20, 16, 1, 64, false, true},
                               {1, 64, 3, 80, 1, 32, true},
                               {1, 32, 12, 32, 1, 64}};

TEST(Kernels, SelectiveScanEqualsItsReferenceInEveryGradient) {
  for (const auto& c : scan_cases) {
    expect_scan(c, at::kFloat, 1e-5);
    expect_scan(c, at::kBFloat16, bf16_bound);
  }
}

TEST(Kernels, ChunkedScanEqualsTheRecurrence) {
  for (const auto& c : scan_cases) {
    const auto expected = exact_scan(c, at::kFloat);
    for (const std::int64_t chunk : {7, 64, 256}) {
      const auto chunked = [&](const auto& in, const auto& options) { return chunked_selective_scan(in, options, chunk); };
      expect_near(exact_scan(c, at::kFloat, chunked), expected, 1e-12, chunk);
    }
  }
}

TEST(Kernels, SelectiveScanHasTheSlopesOfItsDifferences) {
  // Central differences of a sum of the outputs, in float64 through the recurrence, against the kernel's fp32 gradient along a random
  // direction.
  for (const auto& c : {ScanCase{2, 37, 4, 5, 2, 6, true, true}, {1, 20, 3, 16, 1, 8}}) {
    const auto inputs = scan_inputs(c);
    const auto documents = c.documents ? documents_of(c.batch, c.tokens) : Tensor();
    const auto total = [&](const std::vector<Tensor>& in, const Scan& scan) {
      const auto [y, state] = scan({in[0], in[1], in[2], in[3], in[4], in[5]}, {documents, in.size() > 6 ? in[6] : Tensor()});
      return (y.to(at::kDouble) * normal(y.sizes(), 8)).sum() + (state.to(at::kDouble) * normal(state.sizes(), 9)).sum();
    };
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto direction = normal(inputs[i].sizes(), 20 + i) * inputs[i].abs();  // dt stays above 0
      constexpr double step = 1e-5;
      auto up = inputs, down = inputs;
      up[i] = inputs[i] + step * direction, down[i] = inputs[i] - step * direction;
      const auto slope = (total(up, &reference::selective_scan) - total(down, &reference::selective_scan)).item<double>() / (2 * step);
      variable_list in;
      for (const auto& input : inputs) in.push_back(leaf(input, at::kFloat));
      const auto gradient = torch::autograd::grad({total(in, kernel)}, {in[i]})[0].to(at::kDouble);
      const auto scale = (gradient.norm() * direction.norm()).item<double>();
      EXPECT_NEAR((gradient * direction).sum().item<double>(), slope, 1e-6 * scale) << c << ", input " << i;
    }
  }
}

TEST(Kernels, SelectiveScanGoesOnWhereItStopped) {
  const ScanCase c{2, 50, 4, 20, 2, 12};
  std::vector<Tensor> in;
  for (const auto& input : scan_inputs(c)) in.push_back(input.to(at::kFloat));
  const auto part = [&](std::int64_t begin, std::int64_t count) {
    const auto cut = [&](const Tensor& x) { return x.narrow(1, begin, count); };
    return ScanInputs{cut(in[0]), cut(in[1]), in[2], cut(in[3]), cut(in[4]), in[5]};
  };
  const auto whole = selective_scan(part(0, 50));
  Tensor state;
  std::vector<Tensor> y;
  for (const auto& [begin, count] : {std::pair<std::int64_t, std::int64_t>{0, 33}, {33, 1}, {34, 1}, {35, 15}}) {
    const auto result = selective_scan(part(begin, count), {.initial_state = state});
    y.push_back(result.y), state = result.state;
  }
  EXPECT_LT(relative(at::cat(y, 1), whole.y), 1e-6);
  EXPECT_LT(relative(state, whole.state), 1e-6);
}

TEST(Kernels, SelectiveScanOfOneDocumentIgnoresTheOthers) {
  const ScanCase c{1, 45, 4, 20, 2, 12};
  std::vector<Tensor> in;
  for (const auto& input : scan_inputs(c)) in.push_back(input.to(at::kFloat));
  in[0].narrow(1, 0, 20).fill_(1e30);  // what the first document leaves behind would be seen
  const auto documents = at::cat({at::zeros({1, 20}, at::kLong), at::ones({1, 25}, at::kLong)}, 1);
  const auto second = [](const Tensor& x) { return x.narrow(1, 20, 25); };
  for (const auto& scan : {kernel, Scan(&reference::selective_scan)}) {
    const auto together = scan({in[0], in[1], in[2], in[3], in[4], in[5]}, {.documents = documents});
    const auto alone = scan({second(in[0]), second(in[1]), in[2], second(in[3]), second(in[4]), in[5]}, {});
    EXPECT_LT(relative(second(together.y), alone.y), 1e-6);
    EXPECT_LT(relative(together.state, alone.state), 1e-6);
  }
}

TEST(Kernels, SelectiveScanReadsSlicesAndHasTheSameBitsForAnyNumberOfThreads) {
  const ScanCase c{3, 70, 12, 16, 2, 24};
  const auto before = at::get_num_threads();
  std::vector<std::vector<Tensor>> runs;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    runs.push_back(run_scan(c, at::kFloat, kernel, false));
  }
  // x, B and C as slices of one tensor, as the convolution leaves them.
  runs.push_back(run_scan(
      c, at::kFloat,
      [&](const ScanInputs& in, const ScanOptions& options) {
        const auto joined = at::cat({in.x.flatten(2), in.B.flatten(2), in.C.flatten(2)}, 2).split_with_sizes({192, 48, 48}, 2);
        return selective_scan(
            {joined[0].unflatten(2, {12, 16}), in.dt, in.A, joined[1].unflatten(2, {2, 24}), joined[2].unflatten(2, {2, 24}), in.D},
            options);
      },
      false));
  at::set_num_threads(before);
  for (const auto& run : runs)
    for (std::size_t i = 0; i < run.size(); ++i) EXPECT_TRUE(at::equal(run[i], runs[0][i])) << i;
}

TEST(Kernels, SelectiveScanSurvivesDecaysThatVanish) {
  // exp(dt · A) is 0 in fp32: nothing may be divided by it.
  variable_list in;
  for (const auto& input : scan_inputs({1, 40, 2, 4, 1, 4})) in.push_back(leaf(input, at::kFloat));
  const auto out = selective_scan({in[0], 200 * in[1], 50 * in[2], in[3], in[4], in[5]});
  for (const auto& gradient : torch::autograd::grad({out.y.sum() + out.state.sum()}, in))
    EXPECT_TRUE(gradient.isfinite().all().item<bool>());
}

TEST(Kernels, SelectiveScanRefusesWhatDoesNotBelongTogether) {
  const auto in = scan_inputs({1, 5, 6, 4, 2, 3});
  EXPECT_THROW(selective_scan({in[0], in[1], in[2], in[3], in[4].narrow(3, 0, 2), in[5]}), WorkError);
  EXPECT_THROW(selective_scan({in[0].narrow(2, 0, 5), in[1], in[2], in[3], in[4], in[5]}), WorkError);
  EXPECT_THROW(selective_scan({in[0], in[1], in[2], in[3], in[4], in[5]}, {.documents = at::zeros({1, 4}, at::kLong)}), WorkError);
  EXPECT_THROW(selective_scan({in[0], in[1], in[2], in[3], in[4], in[5]}, {.initial_state = at::zeros({1, 6, 3, 4})}), WorkError);
}

struct ConvCase {
  std::int64_t batch, tokens, channels, taps;
  bool bias = true, silu = true, documents = false, initial = false;
};

std::ostream& operator<<(std::ostream& out, const ConvCase& c) {
  return out << c.batch << 'x' << c.tokens << " tokens, " << c.channels << " channels, " << c.taps << " taps, bias " << c.bias << ", silu "
             << c.silu << ", documents " << c.documents << ", initial state " << c.initial;
}

void expect_convolution(const ConvCase& c, double bound = test::fp32_bound) {
  std::vector<Tensor> inputs{normal({c.batch, c.tokens, c.channels}, 1), normal({c.channels, c.taps}, 2)};
  if (c.bias) inputs.push_back(normal({c.channels}, 3));
  if (c.initial) inputs.push_back(normal({c.batch, c.taps - 1, c.channels}, 4));
  const auto run = [&](const auto& convolve, const variable_list& in) {
    ConvolutionOptions options{.silu = c.silu};
    if (c.documents) options.documents = documents_of(c.batch, c.tokens);
    if (c.initial) options.initial_state = in.back();
    return convolve(in[0], in[1], c.bias ? in[2] : Tensor(), options);
  };
  const auto fast = [&](const variable_list& in) { return run(causal_conv1d, in); };
  const auto slow = [&](const variable_list& in) { return run(reference::causal_conv1d, in); };
  EXPECT_LT(test::worst(inputs, at::kFloat, fast, slow), bound) << c;
  EXPECT_LT(test::worst(inputs, at::kBFloat16, fast, slow), std::max(bound, bf16_bound)) << c;
}

TEST(Kernels, CausalConvolutionEqualsItsReference) {
  for (const auto& c : {ConvCase{1, 1, 1, 1},
                        {1, 1, 5, 4},
                        {2, 33, 17, 4},
                        {2, 300, 40, 4, true, true, true},
                        {3, 129, 300, 3, false, true},
                        {2, 50, 16, 2, true, false, true},
                        {1, 7, 33, 4, true, true, false, true},
                        {2, 1, 20, 4, false, false, false, true},
                        {2, 50, 20, 5, true, true, true, true}})
    expect_convolution(c);
}

TEST(Kernels, CausalConvolutionIsWhatLibtorchComputes) {
  const auto x = normal({2, 19, 12}, 1), weight = normal({12, 4}, 2), bias = normal({12}, 3);
  const auto expected = at::conv1d(x.transpose(1, 2), weight.unsqueeze(1), bias, 1, 3, 1, 12).narrow(2, 0, 19).transpose(1, 2);
  EXPECT_LT(relative(reference::causal_conv1d(x, weight, bias), expected), 1e-14);
  EXPECT_LT(relative(reference::causal_conv1d(x, weight, bias, {.silu = true}), at::silu(expected)), 1e-14);
}

TEST(Kernels, CausalConvolutionOfOneDocumentIgnoresTheOthersAndGoesOnWhereItStopped) {
  const auto x = normal({1, 20, 24}, 1).to(at::kFloat), weight = normal({24, 4}, 2).to(at::kFloat), bias = normal({24}, 3).to(at::kFloat);
  const auto documents = at::cat({at::zeros({1, 9}, at::kLong), at::ones({1, 11}, at::kLong)}, 1);
  const auto together = causal_conv1d(x, weight, bias, {.documents = documents}).narrow(1, 9, 11);
  EXPECT_TRUE(at::equal(together, causal_conv1d(x.narrow(1, 9, 11), weight, bias)));
  const auto later = causal_conv1d(x.narrow(1, 9, 11), weight, bias, {.initial_state = x.narrow(1, 6, 3)});
  EXPECT_TRUE(at::equal(later, causal_conv1d(x, weight, bias).narrow(1, 9, 11)));
}

TEST(Kernels, CausalConvolutionHasTheSameBitsForAnyNumberOfThreads) {
  const auto before = at::get_num_threads();
  std::vector<std::vector<Tensor>> runs;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    const variable_list in{leaf(normal({3, 400, 40}, 1), at::kFloat), leaf(normal({40, 4}, 2), at::kFloat),
                           leaf(normal({40}, 3), at::kFloat)};
    const auto y = causal_conv1d(in[0], in[1], in[2], {.silu = true});
    runs.push_back(torch::autograd::grad({y}, in, {normal(y.sizes(), 4).to(at::kFloat)}));
    runs.back().push_back(y);
  }
  at::set_num_threads(before);
  for (const auto& run : runs)
    for (std::size_t i = 0; i < run.size(); ++i) EXPECT_TRUE(at::equal(run[i], runs[0][i])) << i;
}

TEST(Kernels, CausalConvolutionRefusesWhatDoesNotBelongTogether) {
  const auto x = at::zeros({1, 5, 6}), weight = at::zeros({6, 4}), bias = at::zeros({6});
  EXPECT_THROW(causal_conv1d(x, weight.narrow(0, 0, 5), bias), WorkError);
  EXPECT_THROW(causal_conv1d(x, weight, bias.narrow(0, 0, 5)), WorkError);
  EXPECT_THROW(causal_conv1d(x, weight, bias, {.documents = at::zeros({5, 1}, at::kLong)}), WorkError);
  EXPECT_THROW(causal_conv1d(x, weight, bias, {.initial_state = at::zeros({1, 4, 6})}), WorkError);
}

RC_GTEST_PROP(Kernels, SelectiveScanEqualsItsReferenceInAnyShape, ()) {
  const auto small = [](int most) { return *rc::gen::inRange<std::int64_t>(1, most + 1); };
  const auto groups = small(3);
  const ScanCase c{small(3), small(70), groups * small(3),           small(20),
                   groups,   small(20), *rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<bool>()};
  expect_scan(c, at::kFloat, 1e-5);
  RC_ASSERT(!testing::Test::HasFailure());
}

RC_GTEST_PROP(Kernels, CausalConvolutionEqualsItsReferenceInAnyShape, ()) {
  const auto small = [](int most) { return *rc::gen::inRange<std::int64_t>(1, most + 1); };
  const auto any = [] { return *rc::gen::arbitrary<bool>(); };
  // A sum over a few tokens of one channel may cancel.
  expect_convolution({small(3), 20 + small(130), 3 + small(40), small(6), any(), any(), any(), any()}, 1e-5);
  RC_ASSERT(!testing::Test::HasFailure());
}

}  // namespace
}  // namespace isotrope

// The formula of Spectra (kernels/spectra.h) in float64, and the kernel against it.
#include "isotrope/kernels/spectra.h"

#include <gtest/gtest.h>

#include <cmath>

#include "isotrope/nn/parameters.h"
#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using at::Tensor;
using test::normal;
using test::relative;

/// A matrix [m, n] in float64 with a basis of k columns: W is zero, so that W afterwards is the update.
SpectraMatrix matrix_of(const Tensor& gradient, std::int64_t k, std::uint64_t seed = 7) {
  const auto n = gradient.size(1);
  const auto zeros = at::zeros_like(gradient).unsqueeze(0);
  return {zeros.clone(),
          zeros.clone(),
          gradient.unsqueeze(0).clone(),
          {},
          orthonormal_columns(normal({n, k}, seed)).to(gradient.scalar_type())};
}

/// A basis that has converged: the first k right singular directions.
Tensor exact_basis(const Tensor& x, std::int64_t k) { return std::get<2>(at::linalg_svd(x, false)).narrow(0, 0, k).t().contiguous(); }

/// The reference's update of a fresh matrix, as ΔW.
Tensor first_update(const Tensor& gradient, const Tensor& basis, SpectraUpdate update = {.lr = 1, .weight_decay = 0, .momentum = 0.95}) {
  auto x = matrix_of(gradient, 0);
  x.basis = basis.clone();
  reference::spectra_(x, update);
  return x.weight[0];
}

double rms(const Tensor& x) { return x.to(at::kDouble).square().mean().sqrt().item<double>(); }

/// [384, 1024] with singular values 10…100 (k = 6), then i^-0.3.
struct SpikeAndTail {
  static constexpr std::int64_t m = 384, n = 1024, k = 6;
  Tensor values = at::cat({at::logspace(2, 1, k, 10.0, at::kDouble), at::arange(1, m - k + 1, at::kDouble).pow(-0.3)});
  Tensor left = orthonormal_columns(normal({m, m}, 1)), right = orthonormal_columns(normal({n, m}, 2));
  Tensor matrix = (left * values).mm(right.t());
};

TEST(Spectra, TheFixtureHasThePublishedNumbers) {
  const auto i = at::arange(4, at::kDouble).unsqueeze(1), j = at::arange(6, at::kDouble);
  const auto g = at::sin(0.9 * (i + 1) * (j + 1) + 0.3 * i);
  const auto moved = first_update(g, exact_basis(g, 1), {.lr = 1, .weight_decay = 0, .momentum = 0, .eps = 0});
  const double sigma = 1.7698471710;
  EXPECT_NEAR(moved[0][0].item<double>(), -0.2168175417, 1e-9);
  const auto direction = moved * (-sigma / std::sqrt(6.0) / 0.2);
  EXPECT_NEAR(direction[0][0].item<double>(), 0.7832935695, 1e-9);
  const auto values = at::linalg_svdvals(direction);  // the spike has become sigma, the tail is as it was
  const double expected[] = {1.86906148, 1.86694359, sigma, 1.5550588};
  for (int v = 0; v < 4; ++v) EXPECT_NEAR(values[v].item<double>(), expected[v], 1e-8);
}

TEST(Spectra, TheTailIsWhatIsOrthogonalToTheSpikeWhetherItHasConvergedOrNot) {
  const SpikeAndTail x;
  auto y = matrix_of(x.matrix, x.k);
  for (int step = 0; step < 4; ++step) {
    const auto u = orthonormal_columns(x.matrix.mm(y.basis));
    const auto tail = x.matrix - u.mm(u.t().mm(x.matrix));
    y.weight.zero_();
    reference::spectra_(y, {.lr = 1, .weight_decay = 0, .momentum = 0, .first_iterations = 1, .target = SpikeTarget::zero});
    EXPECT_LT(relative(y.weight[0], -0.2 * tail / (rms(tail) + 1e-8)), 1e-12) << step;
  }
}

/// The level σ to which a step has brought the spike, seen in its update: O = −W · (σ/√max(m, n) + ε)/rms has the tail as it was.
double level_of(const Tensor& update, const SpikeAndTail& x) {
  const auto last = x.m - 1;
  const auto projected = x.left.select(1, last).unsqueeze(0).mm(update).mm(x.right.select(1, last).unsqueeze(1)).item<double>();
  return (0.2 * x.values[last].item<double>() / -projected - 1e-8) * std::sqrt(static_cast<double>(x.n));
}

TEST(Spectra, ThreeIterationsFindTheTailsLevelAndLaterStepsKeepIt) {
  const SpikeAndTail x;
  const auto exact = std::sqrt((x.values.narrow(0, x.k, x.m - x.k).square().sum() / static_cast<double>(x.m - x.k)).item<double>());
  EXPECT_NEAR(exact, 0.25671, 5e-6);
  auto y = matrix_of(x.matrix, x.k);
  for (int step = 0; step < 4; ++step) {
    y.weight.zero_();
    reference::spectra_(y, {.lr = 1, .weight_decay = 0, .momentum = 0});
    EXPECT_NEAR(level_of(y.weight[0], x), exact, 5e-6) << step;
  }
  auto cold = matrix_of(x.matrix, x.k);
  reference::spectra_(cold, {.lr = 1, .weight_decay = 0, .momentum = 0, .first_iterations = 1});
  EXPECT_GT(level_of(cold.weight[0], x), 2 * exact);
}

TEST(Spectra, AMatrixThatHadNoGradientYetStartsWhenItGetsOne) {
  const SpikeAndTail x;
  for (const auto type : {at::kDouble, at::kFloat}) {
    const auto late = [&](int empty_steps) {
      auto y = matrix_of(x.matrix.to(type), x.k);
      const auto gradient = y.gradient.clone();
      for (int step = 0; step <= empty_steps; ++step) {
        y.gradient.copy_(step < empty_steps ? at::zeros_like(gradient) : gradient);
        const SpectraUpdate update{.lr = 1, .weight_decay = 0, .momentum = 0.9};
        if (type == at::kDouble) reference::spectra_(y, update);
        else spectra_({&y, 1}, update);
      }
      return y.weight;
    };
    EXPECT_TRUE(at::equal(late(2), late(0)));
  }
}

TEST(Spectra, AnUpdateHasTheRootMeanSquareAskedForWhateverTheShape) {
  for (const auto& [m, n] : {std::pair<std::int64_t, std::int64_t>{40, 40}, {8, 300}, {300, 8}, {64, 200}}) {
    const auto r = std::min(m, n);
    const auto g = normal({m, n}, 5);
    for (const auto k : {std::int64_t{1}, r / 2})
      EXPECT_NEAR(rms(first_update(g, exact_basis(g, k))), 0.2, 1e-6) << m << ' ' << n << ' ' << k;
    EXPECT_NEAR(rms(first_update(g, exact_basis(g, 1), {.lr = 0.5, .weight_decay = 0, .momentum = 0, .rms = 0.4})), 0.2, 1e-6);
  }
}

TEST(Spectra, WithoutASpikeItIsMomentumOfUnitSizeAndWithAllButOneItIsMuonsPolarFactor) {
  const auto g = normal({30, 50}, 6);
  EXPECT_LT(relative(first_update(g, at::empty({50, 0}, at::kDouble)), -0.2 * g / rms(g)), 1e-7);
  const auto [u, s, vh] = at::linalg_svd(g, false);
  EXPECT_LT(relative(first_update(g, exact_basis(g, 29)), -0.2 * std::sqrt(50.0) * u.mm(vh)), 1e-6);
}

TEST(Spectra, IsHomogeneousAndTurnsWithTheMatrix) {
  const auto g = normal({24, 40}, 8), basis = orthonormal_columns(normal({40, 3}, 9));
  const auto moved = first_update(g, basis);
  EXPECT_LT(relative(first_update(1000 * g, basis), moved), 1e-7);
  const auto q = orthonormal_columns(normal({24, 24}, 10)), p = orthonormal_columns(normal({40, 40}, 11));
  EXPECT_LT(relative(first_update(q.mm(g).mm(p.t()), p.mm(basis)), q.mm(moved).mm(p.t())), 1e-9);
}

TEST(Spectra, ItsTargetsAreWhatTheirNamesSay) {
  const auto g = normal({20, 30}, 12) + 8 * normal({20, 1}, 13).mm(normal({1, 30}, 14));
  const auto values = at::linalg_svdvals(g);
  const auto spike_of = [&](SpikeTarget target) {  // what the first singular value has become, in units of the second
    const auto u = first_update(g, exact_basis(g, 1), {.lr = 1, .weight_decay = 0, .momentum = 0, .target = target});
    const auto [left, s, right] = at::linalg_svd(g, false);
    const auto of = [&](std::int64_t i) { return -(left.select(1, i).unsqueeze(0).mm(u).mm(right[i].unsqueeze(1))).item<double>(); };
    return of(0) / of(1);
  };
  const auto value = [&](std::int64_t i) { return values[i].item<double>(); };
  EXPECT_NEAR(spike_of(SpikeTarget::zero), 0, 1e-9);
  EXPECT_NEAR(spike_of(SpikeTarget::unchanged), value(0) / value(1), 1e-7);
  EXPECT_NEAR(spike_of(SpikeTarget::next), 1, 1e-7);
  EXPECT_NEAR(spike_of(SpikeTarget::median), value(10) / value(1), 1e-7);  // of 19 values, the tenth
  EXPECT_NEAR(spike_of(SpikeTarget::tail_rms), std::sqrt(values.narrow(0, 1, 19).square().mean().item<double>()) / value(1), 1e-7);
}

/// Two weights of one form and their parts; the kernel's in fp32 on the memory as it lies, the reference's the same numbers in float64.
struct Twin {
  std::vector<SpectraMatrix> fast, slow;
  Tensor weight, momentum, gradient, working, weight64, momentum64, gradient64;

  Twin(at::IntArrayRef shape, const MatrixForm& form, double fraction, std::uint64_t seed, bool copies) {
    weight = normal(shape, seed).to(at::kFloat), momentum = normal(shape, seed + 1).to(at::kFloat);
    gradient = (normal(shape, seed + 2) + 10 * normal({shape[0], 1}, seed + 3).mm(normal({1, shape[1]}, seed + 4))).to(at::kFloat);
    working = at::zeros(shape, at::kBFloat16);
    weight64 = weight.to(at::kDouble), momentum64 = momentum.to(at::kDouble), gradient64 = gradient.to(at::kDouble);
    const auto a = matrix_views(weight, form), b = matrix_views(momentum, form), c = matrix_views(gradient, form),
               w = matrix_views(working, form);
    const auto d = matrix_views(weight64, form), e = matrix_views(momentum64, form), f = matrix_views(gradient64, form);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const auto r = std::min(a[i].size(0) * a[i].size(1), a[i].size(2));
      const auto k = std::llround(fraction * static_cast<double>(r));
      const auto basis = orthonormal_columns(normal({a[i].size(2), k}, seed + 5 + i)).to(at::kFloat);
      fast.push_back({a[i], b[i], c[i], copies ? w[i] : Tensor(), basis.clone()});
      slow.push_back({d[i], e[i], f[i], {}, basis.to(at::kDouble)});
    }
  }
};

TEST(Spectra, TheKernelIsTheFormulaForEveryShapeAndStorage) {
  struct Case {
    std::vector<std::int64_t> shape;
    MatrixForm form;
  };
  const Case cases[] = {{{37, 53}, {}},
                        {{53, 37}, {}},
                        {{96, 64}, {.transposed = true}},
                        {{41, 61}, {.transposed = true}},
                        {{60, 40}, {.parts = {20, 20, 20}}},
                        {{40, 60}, {.transposed = true, .parts = {20, 20, 20}}},
                        {{72, 30}, {.parts = {8, 8, 8}, .blocks = 3}},
                        {{30, 72}, {.transposed = true, .parts = {12, 12, 12}, .blocks = 2}},  // as nothing lies: the reference serves it
                        {{200, 300}, {}}};
  for (const auto& [shape, form] : cases)
    for (const double fraction : {0.0, 0.05, 0.3, 0.9})
      for (const bool copies : {false, true}) {
        Twin twin(shape, form, fraction, 20, copies);
        for (const auto target : {SpikeTarget::tail_rms, SpikeTarget::next, SpikeTarget::zero}) {
          const SpectraUpdate update{
              .lr = 0.01, .weight_decay = 0.1, .momentum = 0.9, .gradient_scale = 0.7, .iterations = 2, .target = target};
          spectra_(twin.fast, update);
          for (auto& x : twin.slow) reference::spectra_(x, update);
        }
        const auto what = testing::Message() << shape[0] << " × " << shape[1] << ", parts " << form.parts.size() << ", fraction "
                                             << fraction;
        EXPECT_LT(relative(twin.momentum, twin.momentum64), 1e-6) << what;
        EXPECT_LT(relative(twin.weight, twin.weight64), 2e-6) << what;
        for (std::size_t i = 0; i < twin.fast.size(); ++i)
          EXPECT_LT(relative(twin.fast[i].basis, twin.slow[i].basis), 1e-3) << what;  // of equal values any directions serve
        if (copies) {
          EXPECT_TRUE(at::equal(twin.working, twin.weight.to(at::kBFloat16))) << what;
        }
      }
}

TEST(Spectra, AnyNumberOfThreadsGivesTheSameBits) {
  const auto after = [](int threads) {
    at::set_num_threads(threads);
    Twin twin({60, 80}, {.parts = {20, 20, 20}}, 0.1, 30, true);
    spectra_(twin.fast, {.lr = 0.1, .weight_decay = 0.1, .momentum = 0.9});
    return twin.weight;
  };
  const auto threads = at::get_num_threads();
  const auto one = after(1);
  EXPECT_TRUE(at::equal(after(2), one) && at::equal(after(5), one));
  at::set_num_threads(threads);
}

TEST(Spectra, MatricesAtTheEdgeStayFinite) {
  const auto row = normal({1, 60}, 40), column = normal({40, 1}, 41), full = normal({40, 60}, 42);
  const std::pair<const char*, Tensor> cases[] = {{"zero", at::zeros({40, 60}, at::kDouble)},
                                                  {"rank 1", column.mm(row)},
                                                  {"rank 3", normal({40, 3}, 43).mm(normal({3, 60}, 44))},
                                                  {"1e30", 1e30 * full},
                                                  {"1e-30", 1e-30 * full},
                                                  {"rank 1, 1e30", 1e30 * column.mm(row)},
                                                  {"1 × n", row},
                                                  {"n × 1", column}};
  for (const auto& [name, gradient] : cases)
    for (const auto type : {at::kFloat, at::kDouble}) {
      const auto r = std::min(gradient.size(0), gradient.size(1));
      for (const auto k : {std::int64_t{0}, std::min<std::int64_t>(5, r - 1)}) {
        auto x = matrix_of(gradient.to(type), k);
        const auto basis = x.basis.clone();
        for (int step = 0; step < 3; ++step) {
          const auto before = x.weight.clone();
          if (type == at::kFloat) spectra_({&x, 1}, {.lr = 1, .weight_decay = 0, .momentum = 0.95});
          else reference::spectra_(x, {.lr = 1, .weight_decay = 0, .momentum = 0.95});
          EXPECT_TRUE(x.weight.isfinite().all().item<bool>() && x.basis.isfinite().all().item<bool>()) << name << " k " << k;
          EXPECT_LT(rms(x.weight - before), 0.21) << name << " k " << k;
        }
        if (name == std::string("zero")) {
          EXPECT_EQ(x.weight.abs().max().item<double>(), 0);
          EXPECT_TRUE(at::equal(x.basis, basis));  // a direction that was found is not given up for nothing
        }
      }
    }
}

}  // namespace
}  // namespace isotrope

#include "isotrope/geometry/spectrum.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

at::Tensor leading_values(const at::Tensor& x, std::int64_t top) {
  constexpr std::int64_t more = 8, iterations = 6;
  const auto wide = std::min(top + more, std::min(x.size(0), x.size(1)));
  auto q = at::randn({x.size(1), wide}, at::make_generator<at::CPUGeneratorImpl>(0), at::kDouble).to(x.device());
  for (std::int64_t i = 0; i < iterations; ++i) {
    const auto left = std::get<0>(at::linalg_qr(x.mm(q)));
    q = std::get<0>(at::linalg_qr(x.t().mm(left)));
  }
  return at::linalg_svdvals(x.mm(q)).narrow(0, 0, top);
}

/// A decomposition of the small factor is faster where one side is much longer.
at::Tensor all_values(const at::Tensor& x) {
  const auto tall = x.size(0) < x.size(1) ? x.t() : x;
  return at::linalg_svdvals(2 * tall.size(0) > 3 * tall.size(1) ? std::get<1>(at::linalg_qr(tall, "r")) : tall);
}

SingularValues values_of(const at::Tensor& x, std::int64_t top) {
  const auto matrix = x.to(at::kDouble);
  SingularValues all{.rank = std::min(matrix.size(0), matrix.size(1)), .energy = matrix.square().sum().item<double>()};
  all.truncated = top > 0 && top < all.rank;
  const auto values = (all.truncated ? leading_values(matrix, top) : all_values(matrix)).cpu().contiguous();
  all.values.assign(values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel());
  return all;
}

}  // namespace

std::vector<SingularValues> singular_values(std::span<const SpectrumInput> matrices) {
  for (const auto& one : matrices)
    if (!one.matrix.isfinite().all().item<bool>())
      throw WorkError("spectrum", "{}: expected finite numbers, got NaN or infinity", one.name);
  std::vector<SingularValues> all(matrices.size());
  // One after another: MKL's QR never returns when it is called from one of several threads (measured with torch 2.13).
  for (std::size_t i = 0; i < matrices.size(); ++i) all[i] = values_of(matrices[i].matrix, matrices[i].top);
  return all;
}

Spike spike_of(const SingularValues& spectrum, double fraction) {
  const auto& v = spectrum.values;
  Spike spike{.rank = std::min(spectrum.rank, std::max<std::int64_t>(1, std::llround(fraction * static_cast<double>(spectrum.rank)))),
              .gap = nan};
  const auto k = static_cast<std::size_t>(spike.rank);
  if (v.size() < k) return {.rank = spike.rank, .energy = nan, .gap = nan};
  double logs = 0;
  for (std::size_t i = 0; i < k; ++i) spike.energy += v[i] * v[i], logs += std::log(v[i]);
  spike.energy /= spectrum.energy;
  if (const auto rest = v.size() - k; rest > 0 && !spectrum.truncated)
    if (const double median = (v[k + (rest - 1) / 2] + v[k + rest / 2]) / 2; median > 1e-6 * v.front())
      spike.gap = std::exp(logs / static_cast<double>(k)) / median;
  return spike;
}

std::int64_t largest_gap(const SingularValues& spectrum) {
  const auto& v = spectrum.values;
  const auto last = spectrum.rank / 10, width = std::max<std::int64_t>(1, spectrum.rank / 100);
  std::int64_t best = 0;
  double widest = 0;
  if (spectrum.rank < 20) return 0;
  for (std::int64_t i = 1; i <= last && i + width <= static_cast<std::int64_t>(v.size()); ++i) {
    double fall = 0;
    for (std::int64_t j = 0; j < width; ++j) {
      const double before = v[static_cast<std::size_t>(std::max<std::int64_t>(i - 1 - j, 0))], after = v[static_cast<std::size_t>(i + j)];
      if (!(after > 0)) return best;
      fall += std::log(before / after);
    }
    if (fall > widest) widest = fall, best = i;
  }
  return best;
}

}  // namespace isotrope

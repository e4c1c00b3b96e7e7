#include "isotrope/kernels/spectra.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/row_parts.h"

namespace isotrope {

namespace {

/// A matrix as it lies in memory, rows of consecutive numbers: its own rows, or its columns where it is stored transposed.
template <class T>
struct StoredRows {
  T* data = nullptr;
  std::int64_t rows = 0, cols = 0, block_rows = 1, block_stride = 0, row_stride = 0;
  T* row(std::int64_t i) const { return data + i / block_rows * block_stride + i % block_rows * row_stride; }
};

/// The first pass of a step: the momentum takes the gradient in.
struct Mixing {
  StoredRows<float> gradient;
  float mu, scale;
  double squares = 0;  ///< of the momentum afterwards
};

}  // namespace

}  // namespace isotrope

#define ISOTROPE_KERNELS "isotrope/kernels/spectra.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

constexpr std::int64_t panel_width = 16;
constexpr double least_singular_value = 1e-12;

/// What the passes over M have found, and what O is to be.
struct Spike {
  std::vector<double> values;   ///< s
  std::vector<double> targets;  ///< that they become
  double rms = 0;               ///< of O
};

/// σ and O's norm from ‖M‖² and s. `rounding`: of the dtype that M is in. `tail`: the matrix M − U Bᵀ, made only where it is asked for.
template <class Tail>
void set_targets(Spike& spike, double squares, std::int64_t m, std::int64_t n, SpikeTarget target, double rounding, const Tail& tail) {
  const auto r = std::min(m, n), k = static_cast<std::int64_t>(spike.values.size());
  double rest = squares;
  for (const double s : spike.values) rest -= s * s;
  // What cancels in the difference is not known better than the products are.
  rest = std::max(rest, squares * rounding * rounding);
  double value = std::sqrt(rest / static_cast<double>(r - k));
  if (target == SpikeTarget::next || target == SpikeTarget::median) {
    const auto others = at::linalg_svdvals(tail().to(at::kDouble)).narrow(0, 0, r - k).contiguous();
    const auto* v = others.template const_data_ptr<double>();
    value = target == SpikeTarget::next ? v[0] : (v[(r - k - 1) / 2] + v[(r - k) / 2]) / 2;
  }
  double sum = rest;
  for (const double s : spike.values) {
    spike.targets.push_back(target == SpikeTarget::zero ? 0 : target == SpikeTarget::unchanged ? s : value);
    sum += spike.targets.back() * spike.targets.back();
  }
  spike.rms = std::sqrt(sum / (static_cast<double>(m) * static_cast<double>(n)));
}

}  // namespace

at::Tensor orthonormal_columns(const at::Tensor& x) {
  if (x.size(1) == 0) return x.to(at::kDouble);
  const auto [q, r] = at::linalg_qr(x.to(at::kDouble), "reduced");
  return (q * at::where(r.diagonal() < 0, -1.0, 1.0)).contiguous();
}

namespace {

std::int64_t iterations_of(const SpectraUpdate& u, bool fresh) { return fresh ? std::max(u.iterations, u.first_iterations) : u.iterations; }

}  // namespace

namespace reference {

void spectra_(SpectraMatrix& x, const SpectraUpdate& u) {
  const bool fresh = x.momentum.count_nonzero().item<std::int64_t>() == 0;
  x.momentum.mul_(u.momentum).add_(x.gradient, u.gradient_scale);
  const auto momentum = x.momentum.flatten(0, 1);
  const auto m = momentum.size(0), n = momentum.size(1), k = x.basis.size(1);
  const double decay = 1 - u.lr * u.weight_decay, squares = momentum.to(at::kDouble).square().sum().item<double>();
  if (squares > 0) {
    at::Tensor left, b;
    for (std::int64_t i = 0; i < iterations_of(u, fresh); ++i) {
      left = orthonormal_columns(momentum.mm(x.basis)).to(momentum.scalar_type());
      b = momentum.t().mm(left);
      const auto s = b.to(at::kDouble).square().sum(0).sqrt();
      x.basis.copy_(b / s.clamp_min(least_singular_value));
    }
    Spike spike;
    const auto s = b.to(at::kDouble).square().sum(0).sqrt().cpu();
    spike.values.assign(s.const_data_ptr<double>(), s.const_data_ptr<double>() + k);
    const auto tail = [&] { return momentum - left.mm(b.t()); };
    set_targets(spike, squares, m, n, u.target, momentum.scalar_type() == at::kDouble ? 1e-14 : 1e-6, tail);
    const auto targets = at::tensor(spike.targets, at::kDouble).to(momentum.options());
    const auto direction = tail() + (left * targets).mm(x.basis.t());
    x.weight.mul_(decay).sub_(direction.view_as(x.momentum), u.lr * u.rms / (spike.rms + u.eps));
  } else {
    x.weight.mul_(decay);
  }
  if (x.working.defined()) x.working.copy_(x.weight);
}

}  // namespace reference

namespace {

/// Views [blocks, rows, n] as rows in memory, or as columns where these are what is consecutive; no data where neither is.
template <class T>
StoredRows<T> stored_rows(const at::Tensor& x) {
  auto* data = x.mutable_data_ptr<T>();
  const auto blocks = x.size(0), rows = x.size(1), n = x.size(2);
  if (x.stride(2) == 1 || n == 1) return {data, blocks * rows, n, rows, x.stride(0), x.stride(1)};
  if (blocks == 1 && (x.stride(1) == 1 || rows == 1)) return {data, n, rows, 1, x.stride(2), 0};
  return {};
}

bool is_zero(const StoredRows<float>& x) {
  for (std::int64_t i = 0; i < x.rows; ++i)
    if (std::any_of(x.row(i), x.row(i) + x.cols, [](float value) { return value != 0; })) return false;
  return true;
}

bool is_transposed(const at::Tensor& x) { return x.stride(2) != 1 && x.size(2) != 1; }

std::int64_t panels_of(std::int64_t columns) { return (columns + panel_width - 1) / panel_width; }

/// A thin matrix [rows, k] in panels [k/16][rows][16], the rest of the last one zero.
struct Panels {
  std::int64_t rows, k;
  std::vector<float> numbers = std::vector<float>(static_cast<std::size_t>(panels_of(k) * rows * panel_width));
  float& at(std::int64_t i, std::int64_t q) {
    return numbers[static_cast<std::size_t>((q / panel_width * rows + i) * panel_width + q % panel_width)];
  }
};

void step_one(SpectraMatrix& x, const SpectraUpdate& u) {
  const auto stored = stored_rows<float>(x.momentum);
  const bool transposed = is_transposed(x.momentum);
  const auto m = x.weight.size(0) * x.weight.size(1), n = x.weight.size(2), k = x.basis.size(1);
  static const auto thin_product = ISOTROPE_CHOOSE(thin_product);
  static const auto thin_q = ISOTROPE_CHOOSE(thin_q);
  static const auto move_weights = ISOTROPE_CHOOSE(move_weights);
  Mixing mix{stored_rows<float>(x.gradient), static_cast<float>(u.momentum), static_cast<float>(u.gradient_scale)};
  auto* basis = x.basis.mutable_data_ptr<float>();
  Panels right{n, k}, left{m, k};
  Spike spike{.values = std::vector<double>(static_cast<std::size_t>(k))};
  std::vector<double> columns(static_cast<std::size_t>(m * k)), q(columns.size());
  const auto iterations = iterations_of(u, is_zero(stored));
  for (std::int64_t i = 0; i < iterations; ++i) {
    for (std::int64_t j = 0; j < n * k; ++j) right.at(j / k, j % k) = basis[j];
    std::ranges::fill(left.numbers, 0.0F);
    thin_product(stored, i == 0 ? &mix : nullptr, !transposed, right.numbers.data(), left.numbers.data(), panels_of(k));
    if (mix.squares == 0) break;
    for (std::int64_t j = 0; j < m * k; ++j) columns[j] = left.at(j % m, j / m);
    thin_q(columns.data(), m, k, q.data());
    for (std::int64_t j = 0; j < m * k; ++j) left.at(j % m, j / m) = static_cast<float>(q[j]);
    std::ranges::fill(right.numbers, 0.0F);
    thin_product(stored, nullptr, transposed, left.numbers.data(), right.numbers.data(), panels_of(k));  // B
    for (std::int64_t c = 0; c < k; ++c) {
      double sum = 0;
      for (std::int64_t j = 0; j < n; ++j) sum += static_cast<double>(right.at(j, c)) * right.at(j, c);
      spike.values[c] = std::sqrt(sum);
    }
    for (std::int64_t j = 0; j < n * k; ++j)
      basis[j] = static_cast<float>(right.at(j / k, j % k) / std::max(spike.values[j % k], least_singular_value));
  }
  if (mix.squares == 0) {
    x.weight.mul_(1 - u.lr * u.weight_decay);
    if (x.working.defined()) x.working.copy_(x.weight);
    return;
  }
  set_targets(spike, mix.squares, m, n, u.target, 1e-6, [&] {
    const auto rows = [&](Panels& thin) {
      const at::Tensor all = at::empty({thin.rows, k});
      for (std::int64_t j = 0; j < thin.rows * k; ++j) all.mutable_data_ptr<float>()[j] = thin.at(j / k, j % k);
      return all;
    };
    return x.momentum.flatten(0, 1) - rows(left).mm(rows(right).t());
  });
  // W ← (1 − lr·λ) W − step · (M − U diag(1 − target/s) Bᵀ), over the rows of memory: a factor by rows, [rows, k], and one by columns.
  auto &by_rows = transposed ? right : left, &by_columns = transposed ? left : right;
  const auto width = panels_of(by_columns.rows) * panel_width;
  std::vector<float> rows(static_cast<std::size_t>(by_rows.rows * k)), across(static_cast<std::size_t>(k * width));
  for (std::int64_t c = 0; c < k; ++c) {
    const double share = 1 - spike.targets[c] / std::max(spike.values[c], least_singular_value);
    for (std::int64_t i = 0; i < by_rows.rows; ++i) rows[i * k + c] = by_rows.at(i, c);
    for (std::int64_t i = 0; i < by_columns.rows; ++i) across[c * width + i] = static_cast<float>(share * by_columns.at(i, c));
  }
  move_weights(stored_rows<float>(x.weight), x.working.defined() ? stored_rows<c10::BFloat16>(x.working) : StoredRows<c10::BFloat16>{},
               stored, rows.data(), across.data(), k, width, static_cast<float>(1 - u.lr * u.weight_decay),
               static_cast<float>(u.lr * u.rms / (spike.rms + u.eps)));
}

}  // namespace

void spectra_(std::span<SpectraMatrix> matrices, const SpectraUpdate& update) {
  const auto ours = [](const SpectraMatrix& x) {
    return x.weight.device().is_cpu() && x.weight.scalar_type() == at::kFloat && stored_rows<float>(x.momentum).data &&
           x.basis.scalar_type() == at::kFloat;
  };
  if (!std::ranges::all_of(matrices, ours)) {
    for (auto& x : matrices) reference::spectra_(x, update);
    return;
  }
  const at::NoGradGuard no_grad;
  if (update.target == SpikeTarget::next || update.target == SpikeTarget::median) {  // LAPACK has threads of its own, and none of ours
    for (auto& x : matrices) step_one(x, update);
    return;
  }
  const std::int64_t count[] = {static_cast<std::int64_t>(matrices.size())};
  for_row_parts(count, 1, [&](std::size_t, std::int64_t i, std::int64_t) {
    const at::NoGradGuard in_this_thread;
    step_one(matrices[static_cast<std::size_t>(i)], update);
  });
}

}  // namespace isotrope

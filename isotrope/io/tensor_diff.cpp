#include "isotrope/io/tensor_diff.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

namespace isotrope {

namespace {

/// The larger, where NaN is larger than everything.
double worse(double a, double b) { return std::isnan(a) || std::isnan(b) ? std::numeric_limits<double>::quiet_NaN() : std::max(a, b); }

void compare_values(const TensorView& a, const TensorView& b, TensorDiff& diff) {
  constexpr std::size_t block = 4096;
  std::array<double, block> left, right;
  double squares = 0, squares_a = 0;
  const auto count = static_cast<std::size_t>(a.count());
  for (std::size_t begin = 0; begin < count; begin += block) {
    const auto n = std::min(block, count - begin);
    const auto part = [&](const TensorView& view, std::array<double, block>& out) {
      const auto size = dtype_size(view.dtype);
      to_doubles(view.dtype, view.bytes.subspan(begin * size, n * size), std::span(out).first(n));
    };
    part(a, left);
    part(b, right);
    for (std::size_t i = 0; i < n; ++i) {
      // Equal infinities and NaN on both sides are no difference, though inf − inf is not 0.
      const bool same = left[i] == right[i] || (std::isnan(left[i]) && std::isnan(right[i]));
      const double delta = same ? 0 : right[i] - left[i];
      diff.max_abs = worse(diff.max_abs, std::abs(delta));
      squares += delta * delta;
      if (!std::isnan(left[i])) squares_a += left[i] * left[i];
    }
  }
  diff.rms = count > 0 ? std::sqrt(squares / static_cast<double>(count)) : 0;
  diff.relative = squares == 0 ? 0 : std::sqrt(squares) / std::sqrt(squares_a);
}

TensorDiff compare(const TensorView& a, const TensorView& b) {
  TensorDiff diff{.name = a.name,
                  .shape_a = a.shape,
                  .shape_b = b.shape,
                  .dtype_a = std::string(dtype_name(a.dtype)),
                  .dtype_b = std::string(dtype_name(b.dtype))};
  if (a.shape != b.shape) {
    diff.kind = TensorDiff::Kind::shapes_differ;
    return diff;
  }
  diff.identical = a.dtype == b.dtype && std::ranges::equal(a.bytes, b.bytes);
  if (!diff.identical) compare_values(a, b, diff);
  return diff;
}

TensorDiff one_sided(const TensorView& view, TensorDiff::Kind kind) {
  TensorDiff diff{.kind = kind, .name = view.name};
  const bool in_a = kind == TensorDiff::Kind::only_in_a;
  (in_a ? diff.shape_a : diff.shape_b) = view.shape;
  (in_a ? diff.dtype_a : diff.dtype_b) = dtype_name(view.dtype);
  return diff;
}

}  // namespace

bool ModelDiff::within(double tolerance) const { return unmatched == 0 && worst_relative <= tolerance; }

ModelDiff diff_tensors(const TensorFolder& a, const TensorFolder& b) {
  ModelDiff result;
  for (const auto& view : a.tensors()) {
    const auto* other = b.find(view.name);
    result.tensors.push_back(other ? compare(view, *other) : one_sided(view, TensorDiff::Kind::only_in_a));
  }
  for (const auto& view : b.tensors())
    if (!a.find(view.name)) result.tensors.push_back(one_sided(view, TensorDiff::Kind::only_in_b));
  for (const auto& diff : result.tensors) {
    if (diff.kind != TensorDiff::Kind::compared) {
      ++result.unmatched;
      continue;
    }
    ++result.compared;
    result.identical += diff.identical;
    result.worst_relative = worse(result.worst_relative, diff.relative);
    result.worst_abs = worse(result.worst_abs, diff.max_abs);
  }
  std::ranges::sort(result.tensors, {}, [](const TensorDiff& diff) {
    const bool compared = diff.kind == TensorDiff::Kind::compared;
    const double rank = std::isnan(diff.relative) ? -std::numeric_limits<double>::infinity() : -diff.relative;
    return std::tuple(compared, rank, diff.identical, diff.name);
  });
  return result;
}

}  // namespace isotrope

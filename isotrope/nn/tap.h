#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "isotrope/kernels/norms.h"

namespace isotrope {

/// Named observation points inside a forward pass: `embed`, and per layer `resid_mid`, `resid_post`, `attn_out`, `mlp_out`, …; layer −1
/// where there is none. The tensor is the live one, part of the graph; what the function returns in its place is what the pass goes on with
/// (ablations, steering, projections). An empty tap costs one comparison.
class Tap {
 public:
  /// Returns what replaces the value, of its shape and dtype, or an undefined tensor.
  using Function = std::function<at::Tensor(std::string_view point, std::int64_t layer, const at::Tensor& value)>;
  Tap() = default;
  /// A function that returns nothing only looks.
  template <class Observe>
    requires std::is_invocable_v<Observe, std::string_view, std::int64_t, const at::Tensor&>
  Tap(Observe observe) {  // NOLINT: a function is a tap
    if constexpr (std::is_void_v<std::invoke_result_t<Observe, std::string_view, std::int64_t, const at::Tensor&>>)
      function_ = [look = std::move(observe)](std::string_view point, std::int64_t layer, const at::Tensor& value) {
        look(point, layer, value);
        return at::Tensor();
      };
    else function_ = std::move(observe);
  }

  explicit operator bool() const { return static_cast<bool>(function_); }

  /// What the pass goes on with.
  [[nodiscard]] at::Tensor operator()(std::string_view point, std::int64_t layer, const at::Tensor& value) const {
    if (!function_) return value;
    auto replaced = function_(point, layer, value);
    return replaced.defined() ? replaced : value;
  }

  /// The same at the sum of a residual stream, whose norm is made anew where it is replaced.
  [[nodiscard]] Residual residual(std::string_view point, std::int64_t layer, Residual found, const auto& norm) const {
    if (!function_) return found;
    auto replaced = function_(point, layer, found.sum);
    return replaced.defined() ? Residual{replaced, norm(replaced)} : found;
  }

 private:
  Function function_;
};

}  // namespace isotrope

#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string_view>
#include <utility>

namespace isotrope {

/// Named observation points inside a forward pass: `embed`, and per layer `resid_mid`, `resid_post`, `attn_out`, `mlp_out`, …; layer −1
/// where there is none. The tensor is the live one, part of the graph. An empty tap costs one comparison.
class Tap {
 public:
  using Function = std::function<void(std::string_view point, std::int64_t layer, const at::Tensor& value)>;
  Tap() = default;
  Tap(Function function) : function_(std::move(function)) {}  // NOLINT: a function is a tap
  void operator()(std::string_view point, std::int64_t layer, const at::Tensor& value) const {
    if (function_) function_(point, layer, value);
  }

 private:
  Function function_;
};

}  // namespace isotrope

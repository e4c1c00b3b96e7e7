#include "isotrope/kernels/onednn_linear.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <optional>

namespace isotrope {

namespace {

using Product = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                           c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

/// libtorch registers it for its own compiler and has no header for it.
const std::optional<c10::OperatorHandle>& operation() {
  static const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  return found;
}

}  // namespace

bool takes_onednn(const at::Tensor& x, const at::Tensor& weight) {
  const auto fits = [](const at::Tensor& tensor) {
    return tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat && tensor.numel() > 0;
  };
  return fits(x) && fits(weight) && weight.dim() == 2 && weight.is_contiguous() && x.dim() >= 2 && x.size(-1) == weight.size(1) &&
         !at::GradMode::is_enabled() && at::globalContext().userEnabledMkldnn() && operation();
}

at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const auto product = operation()->typed<Product>();
  return product.call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace isotrope

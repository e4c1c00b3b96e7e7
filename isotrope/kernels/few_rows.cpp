#include "isotrope/kernels/few_rows.h"

#include <ATen/ATen.h>

#include "isotrope/kernels/dispatch.h"

#define ISOTROPE_KERNELS "isotrope/kernels/few_rows.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

constexpr std::int64_t rows_a_step = 16;
/// Of the matrix, that are worth a thread.
constexpr std::int64_t numbers_a_task = 1 << 15;

bool applies(const at::Tensor& x, const at::Tensor& weight) {
  const auto width = x.size(-1);
  return has_cpu_kernel(x) && weight.numel() > 0 && weight.scalar_type() == x.scalar_type() && weight.is_contiguous() &&
         weight.dim() == 2 && weight.size(1) == width && x.numel() <= few_rows * width && !at::GradMode::is_enabled();
}

}  // namespace

at::Tensor linear_of_few_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!applies(x, weight)) return at::linear(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
  auto shape = x.sizes().vec();
  shape.back() = weight.size(0);
  auto y = at::empty(shape, x.options());
  const auto rows = x.contiguous(), shift = bias.defined() ? bias.contiguous() : bias;
  const auto M = x.numel() / x.size(-1), N = weight.size(0), K = weight.size(1), steps = (N + rows_a_step - 1) / rows_a_step;
  dispatch_float(x.scalar_type(), [&]<class T>() {
    static const auto product = ISOTROPE_CHOOSE(product_of_few_rows<T>);
    const auto *from = rows.const_data_ptr<T>(), *matrix = weight.const_data_ptr<T>();
    const auto* add = shift.defined() ? shift.const_data_ptr<T>() : nullptr;
    auto* to = y.mutable_data_ptr<T>();
    at::parallel_for(0, steps, std::max<std::int64_t>(1, numbers_a_task / (rows_a_step * K)), [&](std::int64_t begin, std::int64_t end) {
      product(M, from, matrix, add, K, N, begin * rows_a_step, std::min(N, end * rows_a_step), to);
    });
  });
  return y;
}

namespace reference {

at::Tensor linear_of_few_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto y = at::linear(x.to(at::kDouble), weight.to(at::kDouble));
  return (bias.defined() ? y + bias.to(at::kDouble) : y).to(x.scalar_type());
}

}  // namespace reference

}  // namespace isotrope

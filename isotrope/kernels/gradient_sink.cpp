#include "isotrope/kernels/gradient_sink.h"

#include <ATen/ATen.h>

#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/few_rows.h"
#include "isotrope/kernels/packed_weights.h"
#include "isotrope/kernels/weight_gradient.h"

#define ISOTROPE_KERNELS "isotrope/kernels/rows.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

at::Tensor& GradientSink::filled() {
  if (empty) value.zero_(), empty = false;
  return value;
}

void attach_gradient_sink(const at::Tensor& weight, const at::Tensor& value) {
  c10::intrusive_ptr<GradientSink> sink;
  if (value.defined()) sink = c10::make_intrusive<GradientSink>(), sink->value = value;
  weight.unsafeGetTensorImpl()->set_backend_meta(sink);
}

GradientSink* gradient_sink(const at::Tensor& weight) {
  return weight.defined() ? dynamic_cast<GradientSink*>(weight.unsafeGetTensorImpl()->get_backend_meta()) : nullptr;
}

void add_outer_product_(GradientSink& sink, const at::Tensor& a, const at::Tensor& b) {
  add_outer_product_(sink.value, a, b, /*overwrite=*/sink.empty);
  sink.empty = false;
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor plain_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool transposed) {
  return linear_of_few_rows(x, transposed ? weight.t() : weight, bias);
}

struct LinearIntoSink : torch::autograd::Function<LinearIntoSink> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias_in, bool transposed) {
    const auto bias = bias_in.value_or(at::Tensor());
    context->save_for_backward({x, weight, bias});
    context->saved_data["transposed"] = transposed;
    return plain_linear(x, weight, bias, transposed);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2];
    const bool transposed = context->saved_data["transposed"].toBool();
    const auto dy = grads[0].reshape({-1, grads[0].size(-1)}), rows = x.reshape({-1, x.size(-1)});
    at::Tensor dx, d_bias;
    if (context->needs_input_grad(0)) dx = at::mm(dy, transposed ? weight.t() : weight).view(x.sizes());
    if (context->needs_input_grad(1)) {
      auto& sink = *gradient_sink(weight);
      if (transposed) add_outer_product_(sink, rows, dy);
      else add_outer_product_(sink, dy, rows);
    }
    if (bias.defined() && context->needs_input_grad(2)) d_bias = dy.sum(0, false, at::kFloat).to(bias.scalar_type());
    return {dx, at::Tensor(), d_bias, at::Tensor()};
  }
};

struct EmbeddingIntoSink : torch::autograd::Function<EmbeddingIntoSink> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& table, const at::Tensor& ids) {
    context->save_for_backward({table, ids.contiguous()});
    return at::embedding(table, ids);
  }

  /// Threads share the columns, so that every sum is made in the order of the ids.
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto dy = grads[0].contiguous();
    auto& sink = gradient_sink(saved[0])->filled();
    const auto width = sink.size(1), count = saved[1].numel(), stride = sink.stride(0);
    const auto* ids = saved[1].const_data_ptr<std::int64_t>();
    auto* to = sink.mutable_data_ptr<float>();
    dispatch_float(dy.scalar_type(), [&]<class T>() {
      static const auto add = ISOTROPE_CHOOSE(add_row<T>);
      const auto* from = dy.const_data_ptr<T>();
      constexpr std::int64_t columns = 64;
      at::parallel_for(0, (width + columns - 1) / columns, 1, [&](std::int64_t begin, std::int64_t end) {
        const auto first = begin * columns, last = std::min(width, end * columns);
        for (std::int64_t i = 0; i < count; ++i) add(to + ids[i] * stride + first, from + i * width + first, last - first);
      });
    });
    return {at::Tensor(), at::Tensor()};
  }
};

/// A sink is used where a gradient is being recorded, on the CPU.
bool fills_sink(const at::Tensor& weight, const at::Tensor& like) {
  return at::GradMode::is_enabled() && weight.requires_grad() && has_cpu_kernel(like) && gradient_sink(weight);
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool transposed) {
  return fills_sink(weight, x) ? LinearIntoSink::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, transposed)
                               : plain_linear(x, weight, bias, transposed);
}

at::Tensor embedding_lookup(const at::Tensor& table, const at::Tensor& ids) {
  if (packed_weight(table)) return expanded_rows(table, ids);
  return fills_sink(table, table) ? EmbeddingIntoSink::apply(table, ids) : at::embedding(table, ids);
}

}  // namespace isotrope

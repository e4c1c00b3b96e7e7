#include "isotrope/kernels/causal_conv1d.h"

#include <ATen/ATen.h>

#include <optional>

#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/dispatch.h"

namespace isotrope {

namespace {

constexpr std::int64_t conv_lot = 256;  ///< channels whose gradients stay in the cache between the two halves of the way back

/// One row of a batch; strides are those between tokens, channels lie side by side.
template <class T>
struct ConvSource {
  const T* x;
  std::int64_t stride, tokens, channels, taps;
  const float *weight, *bias;  ///< [taps][channels]; [channels]
  const std::int32_t* reach;   ///< by token
  bool silu;
};

}  // namespace

}  // namespace isotrope

#define ISOTROPE_KERNELS "isotrope/kernels/causal_conv1d.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionOptions& options) {
  if (x.dim() != 3 || x.numel() == 0 || weight.dim() != 2 || weight.size(0) != x.size(2) || weight.size(1) < 1 ||
      (bias.defined() && bias.sizes() != weight.sizes().slice(0, 1)))
    throw WorkError("convolution", "x {}, weight {} and bias {} are not [B, T, channels], [channels, K] and [channels]",
                    shape_text(x.sizes()), shape_text(weight.sizes()), bias.defined() ? shape_text(bias.sizes()) : "none");
  const auto expect = [&](const at::Tensor& tensor, at::IntArrayRef shape, const char* name) {
    if (tensor.defined() && tensor.sizes() != shape)
      throw WorkError("convolution", "{} {} is not {}", name, shape_text(tensor.sizes()), shape_text(shape));
  };
  expect(options.documents, {x.size(0), x.size(1)}, "documents");
  expect(options.initial_state, {x.size(0), weight.size(1) - 1, x.size(2)}, "the initial state");
}

/// x with what stands before it.
at::Tensor with_history(const at::Tensor& x, const ConvolutionOptions& options) {
  return options.initial_state.defined() ? at::cat({options.initial_state, x}, 1) : x;
}

/// [B, history + T] int32: how many tokens before itself a token reads, at most K − 1. What stands before a row belongs to its first
/// document.
at::Tensor reach_of(const at::Tensor& documents, std::int64_t batch, std::int64_t tokens, std::int64_t history, std::int64_t taps) {
  const auto running = at::arange(history + tokens, at::kLong).expand({batch, history + tokens});
  auto distance = running;
  if (documents.defined() && tokens > 1) {
    auto starts = at::zeros({batch, history + tokens}, at::kLong);
    const auto begins = documents.narrow(1, 1, tokens - 1) != documents.narrow(1, 0, tokens - 1);
    starts.narrow(1, history + 1, tokens - 1).copy_(begins.to(at::kCPU) * running.narrow(1, history + 1, tokens - 1));
    distance = running - std::get<0>(at::cummax(starts, 1));
  }
  return distance.clamp_max(taps - 1).to(at::kInt).contiguous();
}

}  // namespace

namespace reference {

at::Tensor causal_conv1d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionOptions& options) {
  check(x, weight, bias, options);
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto taps = weight.size(1), history = options.initial_state.defined() ? taps - 1 : 0;
  const auto rows = with_history(x, options).to(wide), w = weight.to(wide);
  const auto reach = reach_of(options.documents, x.size(0), x.size(1), history, taps).to(x.device());
  auto sum = at::zeros_like(rows);
  for (std::int64_t back = 0; back < taps && back < rows.size(1); ++back) {
    const auto count = rows.size(1) - back;
    const auto shifted = at::cat({at::zeros({x.size(0), back, x.size(2)}, rows.options()), rows.narrow(1, 0, count)}, 1);
    sum = sum + shifted * w.select(1, taps - 1 - back) * (reach >= back).unsqueeze(2).to(wide);
  }
  if (bias.defined()) sum = sum + bias.to(wide);
  if (options.silu) sum = at::silu(sum);
  return sum.narrow(1, history, x.size(1)).to(x.scalar_type());
}

}  // namespace reference

namespace {

/// Tokens of a task: sums of the weight's gradients are made by task and added in their order, so that they have the same bits for any number
/// of threads.
constexpr std::int64_t tokens_a_task = 128;

/// The weight as the kernel reads it, [K + 1][channels] fp32: the taps and the bias.
at::Tensor prepared(const at::Tensor& weight, const at::Tensor& bias) {
  const auto last = bias.defined() ? bias.to(at::kFloat) : at::zeros({weight.size(0)}, at::kFloat);
  return at::cat({weight.t().to(at::kFloat), last.unsqueeze(0)}, 0);
}

template <class T>
ConvSource<T> row_of(const at::Tensor& x, const at::Tensor& weights, const at::Tensor& reach, bool silu, std::int64_t row) {
  const auto taps = weights.size(0) - 1;
  const auto* w = weights.const_data_ptr<float>();
  return {x.const_data_ptr<T>() + row * x.stride(0),
          x.stride(1),
          x.size(1),
          x.size(2),
          taps,
          w,
          w + taps * x.size(2),
          reach.const_data_ptr<std::int32_t>() + row * x.size(1),
          silu};
}

/// Calls work(task, row, first token, tokens) for each stretch of each row.
void for_each_task(const at::Tensor& x, const auto& work) {
  const auto stretches = (x.size(1) + tokens_a_task - 1) / tokens_a_task;
  at::parallel_for(0, x.size(0) * stretches, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto task = begin; task < end; ++task) {
      const auto first = task % stretches * tokens_a_task;
      work(task, task / stretches, first, std::min(tokens_a_task, x.size(1) - first));
    }
  });
}

struct CausalConv1d : torch::autograd::Function<CausalConv1d> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_in, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const at::Tensor& reach, bool silu) {
    const auto x = x_in.stride(2) == 1 ? x_in : x_in.contiguous(), weights = prepared(weight, bias.value_or(at::Tensor()));
    const auto y = at::empty(x.sizes(), x.options());
    dispatch_float(x.scalar_type(), [&]<class T>() {
      static const auto kernel = ISOTROPE_CHOOSE(conv_forward<T>);
      auto* to = y.mutable_data_ptr<T>();
      for_each_task(x, [&](std::int64_t, std::int64_t row, std::int64_t first, std::int64_t count) {
        kernel(row_of<T>(x, weights, reach, silu, row), first, count, to + row * y.stride(0));
      });
    });
    context->save_for_backward({x, weights, reach});
    context->saved_data["silu"] = silu;
    context->saved_data["weight type"] = static_cast<std::int64_t>(weight.scalar_type());
    context->saved_data["bias type"] = bias ? std::optional(static_cast<std::int64_t>(bias->scalar_type())) : std::nullopt;
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    refuse_second_derivative("causal_conv1d");
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weights = saved[1], &reach = saved[2];
    const bool silu = context->saved_data["silu"].toBool();
    const auto dy = grads[0].stride(2) == 1 ? grads[0] : grads[0].contiguous(), dx = at::empty(x.sizes(), x.options());
    const auto taps = weights.size(0) - 1, channels = x.size(2), tasks = x.size(0) * ((x.size(1) + tokens_a_task - 1) / tokens_a_task);
    const auto sums = at::zeros({tasks, taps + 1, channels}, weights.options());
    dispatch_float(x.scalar_type(), [&]<class T>() {
      static const auto kernel = ISOTROPE_CHOOSE(conv_backward<T>);
      const auto* gradient = dy.const_data_ptr<T>();
      auto* to = dx.mutable_data_ptr<T>();
      auto* sum = sums.mutable_data_ptr<float>();
      for_each_task(x, [&](std::int64_t task, std::int64_t row, std::int64_t first, std::int64_t count) {
        const auto scratch = at::empty({(tokens_a_task + taps) * conv_lot}, at::kFloat);
        auto* own = sum + task * sums.stride(0);
        kernel(row_of<T>(x, weights, reach, silu, row), first, count, gradient + row * dy.stride(0), dy.stride(1), to + row * dx.stride(0),
               own, own + taps * channels, scratch.mutable_data_ptr<float>());
      });
    });
    const auto total = sums.sum(0);
    const auto typed = [](const at::Tensor& gradient, std::int64_t type) { return gradient.to(static_cast<at::ScalarType>(type)); };
    const auto bias_type = context->saved_data["bias type"].toOptional<std::int64_t>();
    return {dx,
            typed(total.narrow(0, 0, taps).t(), context->saved_data["weight type"].toInt()),
            bias_type ? typed(total.select(0, taps), *bias_type) : at::Tensor(),
            {},
            {}};
  }
};

bool takes_kernel(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto fits = [&](const at::Tensor& w) { return w.scalar_type() == x.scalar_type() || w.scalar_type() == at::kFloat; };
  return has_cpu_kernel(x) && fits(weight) && (!bias.defined() || fits(bias));
}

}  // namespace

at::Tensor causal_conv1d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionOptions& options) {
  check(x, weight, bias, options);
  if (!takes_kernel(x, weight, bias)) return reference::causal_conv1d(x, weight, bias, options);
  const auto taps = weight.size(1), history = options.initial_state.defined() ? taps - 1 : 0;
  const auto reach = reach_of(options.documents, x.size(0), x.size(1), history, taps);
  const auto y =
      CausalConv1d::apply(with_history(x, options), weight, bias.defined() ? std::optional(bias) : std::nullopt, reach, options.silu);
  return history > 0 ? y.narrow(1, history, x.size(1)) : y;
}

}  // namespace isotrope

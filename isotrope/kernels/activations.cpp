#include "isotrope/kernels/activations.h"

#include <ATen/ATen.h>

#include <cmath>

#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/dispatch.h"

#define ISOTROPE_KERNELS "isotrope/kernels/activations.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace reference {

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  const auto wide = gate.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return (at::silu(gate.to(wide)) * up.to(wide)).to(gate.scalar_type());
}

at::Tensor gelu_tanh(const at::Tensor& x) {
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::gelu(x.to(wide), "tanh").to(x.scalar_type());
}

}  // namespace reference

namespace {

constexpr std::int64_t task = 16384;

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate_in, const at::Tensor& up_in) {
    const auto gate = gate_in.contiguous(), up = up_in.contiguous();
    auto y = at::empty_like(gate);
    dispatch_float(gate.scalar_type(), [&]<class T>() {
      const auto *g = gate.const_data_ptr<T>(), *u = up.const_data_ptr<T>();
      auto* to = y.mutable_data_ptr<T>();
      static const auto kernel = ISOTROPE_CHOOSE(swiglu_forward<T>);
      at::parallel_for(0, gate.numel(), task, [&](std::int64_t b, std::int64_t e) { kernel(g + b, u + b, to + b, e - b); });
    });
    context->save_for_backward({gate, up});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    refuse_second_derivative("swiglu");
    const auto saved = context->get_saved_variables();
    const auto dy = grads[0].contiguous();
    auto dgate = at::empty_like(saved[0]), dup = at::empty_like(saved[1]);
    dispatch_float(dy.scalar_type(), [&]<class T>() {
      const auto *g = saved[0].const_data_ptr<T>(), *u = saved[1].const_data_ptr<T>(), *d = dy.const_data_ptr<T>();
      static const auto kernel = ISOTROPE_CHOOSE(swiglu_backward<T>);
      auto *to_gate = dgate.mutable_data_ptr<T>(), *to_up = dup.mutable_data_ptr<T>();
      at::parallel_for(0, dy.numel(), task,
                       [&](std::int64_t b, std::int64_t e) { kernel(g + b, u + b, d + b, to_gate + b, to_up + b, e - b); });
    });
    return {dgate, dup};
  }
};

struct GeluTanh : torch::autograd::Function<GeluTanh> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input) {
    const auto x = input.contiguous();
    auto y = at::empty_like(x);
    dispatch_float(x.scalar_type(), [&]<class T>() {
      static const auto kernel = ISOTROPE_CHOOSE(gelu_tanh_forward<T>);
      const auto* from = x.const_data_ptr<T>();
      auto* to = y.mutable_data_ptr<T>();
      at::parallel_for(0, x.numel(), task, [&](std::int64_t b, std::int64_t e) { kernel(from + b, to + b, e - b); });
    });
    context->save_for_backward({x});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    refuse_second_derivative("gelu_tanh");
    const auto x = context->get_saved_variables()[0], dy = grads[0].contiguous();
    auto dx = at::empty_like(x);
    dispatch_float(x.scalar_type(), [&]<class T>() {
      static const auto kernel = ISOTROPE_CHOOSE(gelu_tanh_backward<T>);
      const auto *from = x.const_data_ptr<T>(), *d = dy.const_data_ptr<T>();
      auto* to = dx.mutable_data_ptr<T>();
      at::parallel_for(0, x.numel(), task, [&](std::int64_t b, std::int64_t e) { kernel(from + b, d + b, to + b, e - b); });
    });
    return {dx};
  }
};

/// libtorch's loops over vectors end in single numbers, whose functions round otherwise: where a number stands would count.
bool place_must_not_count(const at::Tensor& x) { return is_batch_invariant() && has_cpu_kernel(x) && !at::GradMode::is_enabled(); }

template <class T>
using Map = void (*)(const T*, T*, std::int64_t);

template <class T>
at::Tensor mapped(const at::Tensor& input, Map<T> kernel) {
  const auto x = input.contiguous();
  auto y = at::empty_like(x);
  const auto* from = x.const_data_ptr<T>();
  auto* to = y.mutable_data_ptr<T>();
  at::parallel_for(0, x.numel(), task, [&](std::int64_t b, std::int64_t e) { kernel(from + b, to + b, e - b); });
  return y;
}

}  // namespace

at::Tensor silu(const at::Tensor& x) {
  if (!place_must_not_count(x)) return at::silu(x);
  at::Tensor y;
  dispatch_float(x.scalar_type(), [&]<class T>() {
    static const auto kernel = ISOTROPE_CHOOSE(silu_forward<T>);
    y = mapped<T>(x, kernel);
  });
  return y;
}

at::Tensor gelu(const at::Tensor& x) {
  if (!place_must_not_count(x)) return at::gelu(x);
  at::Tensor y;
  dispatch_float(x.scalar_type(), [&]<class T>() {
    static const auto kernel = ISOTROPE_CHOOSE(gelu_forward<T>);
    y = mapped<T>(x, kernel);
  });
  return y;
}

at::Tensor softplus(const at::Tensor& x) {
  if (!place_must_not_count(x) || x.scalar_type() != at::kFloat) return at::softplus(x);
  return mapped<float>(x, [](const float* from, float* to, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = from[i] > 20 ? from[i] : std::log1p(std::exp(from[i]));
  });
}

at::Tensor gelu_tanh(const at::Tensor& x) { return has_cpu_kernel(x) ? GeluTanh::apply(x) : reference::gelu_tanh(x); }

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  return has_cpu_kernel(gate) ? SwiGlu::apply(gate, up) : reference::swiglu(gate, up);
}

}  // namespace isotrope

#include "isotrope/kernels/swiglu.h"

#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/simd.h"

namespace isotrope {

namespace reference {

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  const auto wide = gate.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return (at::silu(gate.to(wide)) * up.to(wide)).to(gate.scalar_type());
}

}  // namespace reference

namespace {

#define ISOTROPE_SWIGLU(T)                                                                                               \
  ISOTROPE_MULTIVERSION void forward_range(const T* gate, const T* up, T* y, std::int64_t n) {                           \
    _Pragma("omp simd") for (std::int64_t i = 0; i < n; ++i) {                                                           \
      const float g = simd::load(gate[i]);                                                                               \
      simd::store(y[i], g / (1.0f + simd::exp(-g)) * simd::load(up[i]));                                                 \
    }                                                                                                                    \
  }                                                                                                                      \
  ISOTROPE_MULTIVERSION void backward_range(const T* gate, const T* up, const T* dy, T* dgate, T* dup, std::int64_t n) { \
    _Pragma("omp simd") for (std::int64_t i = 0; i < n; ++i) {                                                           \
      const float g = simd::load(gate[i]), d = simd::load(dy[i]);                                                        \
      const float sigmoid = 1.0f / (1.0f + simd::exp(-g)), silu = g * sigmoid;                                           \
      simd::store(dgate[i], d* simd::load(up[i]) * (sigmoid + silu * (1.0f - sigmoid)));                                 \
      simd::store(dup[i], d* silu);                                                                                      \
    }                                                                                                                    \
  }
ISOTROPE_SWIGLU(float)
ISOTROPE_SWIGLU(c10::BFloat16)
#undef ISOTROPE_SWIGLU

constexpr std::int64_t task = 16384;

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate_in, const at::Tensor& up_in) {
    const auto gate = gate_in.contiguous(), up = up_in.contiguous();
    auto y = at::empty_like(gate);
    dispatch_float(gate.scalar_type(), [&]<class T>() {
      const auto *g = gate.const_data_ptr<T>(), *u = up.const_data_ptr<T>();
      auto* to = y.mutable_data_ptr<T>();
      at::parallel_for(0, gate.numel(), task, [&](std::int64_t b, std::int64_t e) { forward_range(g + b, u + b, to + b, e - b); });
    });
    context->save_for_backward({gate, up});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto dy = grads[0].contiguous();
    auto dgate = at::empty_like(saved[0]), dup = at::empty_like(saved[1]);
    dispatch_float(dy.scalar_type(), [&]<class T>() {
      const auto *g = saved[0].const_data_ptr<T>(), *u = saved[1].const_data_ptr<T>(), *d = dy.const_data_ptr<T>();
      auto *to_gate = dgate.mutable_data_ptr<T>(), *to_up = dup.mutable_data_ptr<T>();
      at::parallel_for(0, dy.numel(), task,
                       [&](std::int64_t b, std::int64_t e) { backward_range(g + b, u + b, d + b, to_gate + b, to_up + b, e - b); });
    });
    return {dgate, dup};
  }
};

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  return has_cpu_kernel(gate) ? SwiGlu::apply(gate, up) : reference::swiglu(gate, up);
}

}  // namespace isotrope

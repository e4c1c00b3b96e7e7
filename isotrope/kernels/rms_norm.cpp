#include "isotrope/kernels/rms_norm.h"

#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/simd.h"

namespace isotrope {

namespace reference {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto xw = x.to(wide);
  return (xw * at::rsqrt(xw.square().mean(-1, /*keepdim=*/true) + eps) * gain.to(wide)).to(x.scalar_type());
}

}  // namespace reference

namespace {

// One row each; T is float or BFloat16, all arithmetic in float.
#define ISOTROPE_RMS_ROWS(T)                                                                                                          \
  ISOTROPE_MULTIVERSION float forward_row(const T* x, const T* gain, T* y, std::int64_t d, float eps) {                               \
    float squares = 0;                                                                                                                \
    _Pragma("omp simd reduction(+ : squares)") for (std::int64_t i = 0; i < d; ++i) {                                                 \
      const float value = simd::load(x[i]);                                                                                           \
      squares += value * value;                                                                                                       \
    }                                                                                                                                 \
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(d) + eps);                                                      \
    _Pragma("omp simd") for (std::int64_t i = 0; i < d; ++i) simd::store(y[i], simd::load(x[i]) * scale * simd::load(gain[i]));       \
    return scale;                                                                                                                     \
  }                                                                                                                                   \
  ISOTROPE_MULTIVERSION void backward_row(const T* x, const T* gain, const T* dy, float scale, T* dx, float* dgain, std::int64_t d) { \
    float dot = 0;                                                                                                                    \
    _Pragma("omp simd reduction(+ : dot)") for (std::int64_t i = 0; i < d; ++i) {                                                     \
      const float g = simd::load(dy[i]), value = simd::load(x[i]);                                                                    \
      dgain[i] += g * value * scale;                                                                                                  \
      dot += g * simd::load(gain[i]) * value;                                                                                         \
    }                                                                                                                                 \
    const float along = dot * scale * scale / static_cast<float>(d);                                                                  \
    _Pragma("omp simd") for (std::int64_t i = 0; i < d; ++i)                                                                          \
        simd::store(dx[i], scale*(simd::load(dy[i]) * simd::load(gain[i]) - simd::load(x[i]) * along));                               \
  }
ISOTROPE_RMS_ROWS(float)
ISOTROPE_RMS_ROWS(c10::BFloat16)
#undef ISOTROPE_RMS_ROWS

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor& gain, double eps) {
    const auto x = input.contiguous();
    const auto d = x.size(-1), rows = x.numel() / d;
    auto y = at::empty_like(x);
    auto scales = at::empty({rows}, x.options().dtype(at::kFloat));
    dispatch_float(x.scalar_type(), [&]<class T>() {
      const auto *from = x.const_data_ptr<T>(), *weight = gain.const_data_ptr<T>();
      auto* to = y.mutable_data_ptr<T>();
      auto* scale = scales.mutable_data_ptr<float>();
      at::parallel_for(0, rows, rows_per_task(d), [&](std::int64_t begin, std::int64_t end) {
        for (auto row = begin; row < end; ++row) scale[row] = forward_row(from + row * d, weight, to + row * d, d, static_cast<float>(eps));
      });
    });
    context->save_for_backward({x, gain, scales});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &gain = saved[1], &scales = saved[2];
    const auto dy = grads[0].contiguous();
    const auto d = x.size(-1), rows = x.numel() / d;
    auto dx = at::empty_like(x);
    // The gain's gradient is summed in blocks of a fixed number of rows, then over blocks in order: the same bits for any thread count.
    constexpr std::int64_t block = 256;
    const auto blocks = (rows + block - 1) / block;
    auto partial = at::zeros({blocks, d}, scales.options());
    dispatch_float(x.scalar_type(), [&]<class T>() {
      const auto *from = x.const_data_ptr<T>(), *weight = gain.const_data_ptr<T>(), *g = dy.const_data_ptr<T>();
      const auto* scale = scales.const_data_ptr<float>();
      auto* to = dx.mutable_data_ptr<T>();
      auto* sums = partial.mutable_data_ptr<float>();
      at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
        for (auto b = begin; b < end; ++b)
          for (auto row = b * block; row < std::min(rows, (b + 1) * block); ++row)
            backward_row(from + row * d, weight, g + row * d, scale[row], to + row * d, sums + b * d, d);
      });
    });
    return {dx, partial.sum(0).to(gain.scalar_type()), at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  if (!has_cpu_kernel(x) || gain.scalar_type() != x.scalar_type() || !gain.is_contiguous()) return reference::rms_norm(x, gain, eps);
  return RmsNorm::apply(x, gain, eps);
}

}  // namespace isotrope

#include "isotrope/kernels/norms.h"

#include <ATen/ATen.h>

#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/dispatch.h"

namespace isotrope {

namespace {

/// Of a row of a layer norm: mean and 1/σ.
struct Moments {
  float mean, scale;
};

}  // namespace

}  // namespace isotrope

#define ISOTROPE_KERNELS "isotrope/kernels/norms.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace reference {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto xw = x.to(wide);
  return (xw * at::rsqrt(xw.square().mean(-1, /*keepdim=*/true) + eps) * gain.to(wide)).to(x.scalar_type());
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps) {
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto xw = x.to(wide), centred = xw - xw.mean(-1, /*keepdim=*/true);
  const auto scaled = centred * at::rsqrt(centred.square().mean(-1, /*keepdim=*/true) + eps) * gain.to(wide);
  return (bias.defined() ? scaled + bias.to(wide) : scaled).to(x.scalar_type());
}

}  // namespace reference

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Null for an undefined tensor.
template <class T>
const T* pointer(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr<T>() : nullptr;
}

/// Sums of the gradients of gain and bias: in blocks of a fixed number of rows, then over the blocks in order, so that they have the same
/// bits for any number of threads.
constexpr std::int64_t rows_a_block = 256;

/// Statistics of the rows: RMS norm keeps 1/rms, layer norm mean and 1/σ, as [rows, 1 or 2].
at::Tensor forward_rows(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& gain, const at::Tensor& bias, double eps,
                        at::Tensor& sum, at::Tensor& y) {
  const auto d = x.size(-1), rows = x.numel() / d;
  auto statistics = at::empty({rows, bias.defined() ? 2 : 1}, x.options().dtype(at::kFloat));
  dispatch_float(x.scalar_type(), [&]<class T>() {
    static const auto rms = ISOTROPE_CHOOSE(rms_forward<T>);
    static const auto layer = ISOTROPE_CHOOSE(layer_forward<T>);
    const auto *from = pointer<T>(x), *add = pointer<T>(delta), *weight = pointer<T>(gain), *shift = pointer<T>(bias);
    auto *to = y.mutable_data_ptr<T>(), *total = delta.defined() ? sum.mutable_data_ptr<T>() : nullptr;
    auto* kept = statistics.mutable_data_ptr<float>();
    const auto epsilon = static_cast<float>(eps);
    at::parallel_for(0, rows, rows_per_task(d), [&](std::int64_t begin, std::int64_t end) {
      for (auto row = begin; row < end; ++row) {
        const auto at = row * d;
        const auto* second = add ? add + at : nullptr;
        auto* third = total ? total + at : nullptr;
        if (!shift) {
          kept[row] = rms(from + at, second, weight, third, to + at, d, epsilon);
        } else {
          const auto [mean, scale] = layer(from + at, second, weight, shift, third, to + at, d, epsilon);
          kept[2 * row] = mean, kept[2 * row + 1] = scale;
        }
      }
    });
  });
  return statistics;
}

struct Gradients {
  at::Tensor x, gain, bias;
};

Gradients backward_rows(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& statistics, const at::Tensor& dy,
                        const at::Tensor& upstream) {
  const auto d = x.size(-1), rows = x.numel() / d, blocks = (rows + rows_a_block - 1) / rows_a_block;
  const bool layered = statistics.size(1) == 2;
  auto dx = at::empty_like(x), gains = at::zeros({blocks, d}, statistics.options());
  at::Tensor biases;
  if (layered) biases = at::zeros_like(gains);
  dispatch_float(x.scalar_type(), [&]<class T>() {
    static const auto rms = ISOTROPE_CHOOSE(rms_backward<T>);
    static const auto layer = ISOTROPE_CHOOSE(layer_backward<T>);
    const auto *from = pointer<T>(x), *weight = pointer<T>(gain), *out_gradient = pointer<T>(dy), *through = pointer<T>(upstream);
    const auto* kept = statistics.const_data_ptr<float>();
    auto* to = dx.mutable_data_ptr<T>();
    auto *gain_sums = gains.mutable_data_ptr<float>(), *bias_sums = layered ? biases.mutable_data_ptr<float>() : nullptr;
    at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto b = begin; b < end; ++b)
        for (auto row = b * rows_a_block; row < std::min(rows, (b + 1) * rows_a_block); ++row) {
          const auto at = row * d;
          const auto* second = through ? through + at : nullptr;
          if (!layered) rms(from + at, weight, out_gradient + at, second, kept[row], to + at, gain_sums + b * d, d);
          else
            layer(from + at, weight, out_gradient + at, second, {kept[2 * row], kept[2 * row + 1]}, to + at, gain_sums + b * d,
                  bias_sums + b * d, d);
        }
    });
  });
  return {dx, gains.sum(0).to(gain.scalar_type()), layered ? biases.sum(0).to(gain.scalar_type()) : at::Tensor()};
}

/// Both norms, with and without the addition. Inputs: x, delta or none, gain, bias or none (then it is the RMS norm).
struct Norm : torch::autograd::Function<Norm> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x_in, const std::optional<at::Tensor>& delta_in,
                               const at::Tensor& gain, const std::optional<at::Tensor>& bias_in, double eps) {
    const auto x = x_in.contiguous(), delta = delta_in ? delta_in->contiguous() : at::Tensor(), bias = bias_in.value_or(at::Tensor());
    at::Tensor sum = delta.defined() ? at::empty_like(x) : x, y = at::empty_like(x);
    const auto statistics = forward_rows(x, delta, gain, bias, eps, sum, y);
    context->save_for_backward({sum, gain, statistics});
    context->saved_data["added"] = delta.defined();
    if (delta.defined()) return {y, sum};
    return {y};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    refuse_second_derivative("norm");
    const auto saved = context->get_saved_variables();
    const bool added = context->saved_data["added"].toBool();
    const auto upstream = added && grads[1].defined() ? grads[1].contiguous() : at::Tensor();
    const auto dy = grads[0].defined() ? grads[0].contiguous() : at::zeros_like(saved[0]);
    const auto gradients = backward_rows(saved[0], saved[1], saved[2], dy, upstream);
    return {gradients.x, added ? gradients.x : at::Tensor(), gradients.gain, gradients.bias, at::Tensor()};
  }
};

bool takes_kernel(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias) {
  const auto fits = [&](const at::Tensor& v) { return !v.defined() || (v.scalar_type() == x.scalar_type() && v.is_contiguous()); };
  return has_cpu_kernel(x) && fits(gain) && fits(bias);
}

/// To the kernel a norm without bias is an RMS norm.
at::Tensor bias_or_zeros(const at::Tensor& bias, const at::Tensor& gain) { return bias.defined() ? bias : at::zeros_like(gain); }

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  return takes_kernel(x, gain, {}) ? Norm::apply(x, std::optional<at::Tensor>(), gain, std::optional<at::Tensor>(), eps)[0]
                                   : reference::rms_norm(x, gain, eps);
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps) {
  return takes_kernel(x, gain, bias) ? Norm::apply(x, std::optional<at::Tensor>(), gain, std::optional(bias_or_zeros(bias, gain)), eps)[0]
                                     : reference::layer_norm(x, gain, bias, eps);
}

Residual add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& gain, double eps) {
  if (!delta.defined()) return {x, rms_norm(x, gain, eps)};
  if (takes_kernel(x, gain, {}) && delta.scalar_type() == x.scalar_type()) {
    const auto out = Norm::apply(x, std::optional(delta), gain, std::optional<at::Tensor>(), eps);
    return {out[1], out[0]};
  }
  const auto sum = x + delta;
  return {sum, rms_norm(sum, gain, eps)};
}

Residual add_layer_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& gain, const at::Tensor& bias, double eps) {
  if (!delta.defined()) return {x, layer_norm(x, gain, bias, eps)};
  if (takes_kernel(x, gain, bias) && delta.scalar_type() == x.scalar_type()) {
    const auto out = Norm::apply(x, std::optional(delta), gain, std::optional(bias_or_zeros(bias, gain)), eps);
    return {out[1], out[0]};
  }
  const auto sum = x + delta;
  return {sum, layer_norm(sum, gain, bias, eps)};
}

}  // namespace isotrope

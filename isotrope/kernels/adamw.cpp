#include "isotrope/kernels/adamw.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "isotrope/kernels/dispatch.h"

namespace isotrope {

namespace {

/// Rounded once from double, as torch does: 1 − β₂ from a rounded β₂ would be off by 1e-5.
struct AdamWConstants {
  float decay, mean_weight, beta2, square_weight, step_size, root_correction, eps, gradient_scale;
};

}  // namespace

}  // namespace isotrope

#define ISOTROPE_KERNELS "isotrope/kernels/adamw.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

AdamWConstants constants_of(const AdamWUpdate& u) {
  const double correction1 = 1.0 - std::pow(u.beta1, static_cast<double>(u.step)),
               correction2 = 1.0 - std::pow(u.beta2, static_cast<double>(u.step));
  return {static_cast<float>(1.0 - u.lr * u.weight_decay),
          static_cast<float>(1.0 - u.beta1),
          static_cast<float>(u.beta2),
          static_cast<float>(1.0 - u.beta2),
          static_cast<float>(u.lr / correction1),
          static_cast<float>(1.0 / std::sqrt(correction2)),
          static_cast<float>(u.eps),
          static_cast<float>(u.gradient_scale)};
}

constexpr std::int64_t block = 16384;

}  // namespace

namespace reference {

void adamw_(at::Tensor& weights, at::Tensor& exp_avg, at::Tensor& exp_avg_sq, const at::Tensor& gradient, at::Tensor working,
            const AdamWUpdate& u) {
  const double correction1 = 1.0 - std::pow(u.beta1, static_cast<double>(u.step)),
               correction2 = 1.0 - std::pow(u.beta2, static_cast<double>(u.step));
  const auto g = gradient * u.gradient_scale;
  weights.mul_(1.0 - u.lr * u.weight_decay);
  exp_avg.lerp_(g, 1.0 - u.beta1);
  exp_avg_sq.mul_(u.beta2).addcmul_(g, g, 1.0 - u.beta2);
  weights.addcdiv_(exp_avg, (exp_avg_sq.sqrt() / std::sqrt(correction2)).add_(u.eps), -u.lr / correction1);
  if (working.defined()) working.copy_(weights);
}

}  // namespace reference

void adamw_(at::Tensor& weights, at::Tensor& exp_avg, at::Tensor& exp_avg_sq, const at::Tensor& gradient, at::Tensor working,
            const AdamWUpdate& update) {
  if (!has_cpu_kernel(weights)) return reference::adamw_(weights, exp_avg, exp_avg_sq, gradient, working, update);
  const auto constants = constants_of(update);
  auto *w = weights.mutable_data_ptr<float>(), *m = exp_avg.mutable_data_ptr<float>(), *v = exp_avg_sq.mutable_data_ptr<float>();
  const auto* g = gradient.const_data_ptr<float>();
  static const auto update_range = ISOTROPE_CHOOSE(update_range);
  auto* copy = working.defined() ? working.mutable_data_ptr<c10::BFloat16>() : nullptr;
  at::parallel_for(0, weights.numel(), block, [&](std::int64_t begin, std::int64_t end) {
    update_range(w + begin, m + begin, v + begin, g + begin, copy ? copy + begin : nullptr, end - begin, constants);
  });
}

std::vector<double> squared_norms(std::span<const at::Tensor> tensors) {
  std::vector<double> sums(tensors.size());
  struct Block {
    const float* begin;
    std::int64_t count;
    std::size_t tensor;
  };
  std::vector<Block> blocks;
  std::vector<at::Tensor> others;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& x = tensors[i];
    if (has_cpu_kernel(x))
      for (std::int64_t at = 0; at < x.numel(); at += block)
        blocks.push_back({x.const_data_ptr<float>() + at, std::min(block, x.numel() - at), i});
    else others.push_back(x.to(at::kDouble).square().sum()), places.push_back(i);
  }
  if (!others.empty()) {  // one wait for the device
    const auto values = at::stack(others).cpu();
    for (std::size_t i = 0; i < places.size(); ++i) sums[places[i]] = values[static_cast<std::int64_t>(i)].item<double>();
  }
  std::vector<double> parts(blocks.size());
  static const auto squares_of = ISOTROPE_CHOOSE(squares_of);
  at::parallel_for(0, static_cast<std::int64_t>(blocks.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto b = begin; b < end; ++b) parts[b] = squares_of(blocks[b].begin, blocks[b].count);
  });
  for (std::size_t b = 0; b < blocks.size(); ++b) sums[blocks[b].tensor] += parts[b];
  return sums;
}

double squared_norm(const at::Tensor& tensor) { return squared_norms({&tensor, 1}).front(); }

}  // namespace isotrope

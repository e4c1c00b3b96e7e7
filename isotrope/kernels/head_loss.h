#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "isotrope/kernels/gradient_sink.h"

namespace isotrope {

/// The output projection of a language model: logits = hidden · weightᵀ + bias. weight [V, d], bias [V] of the same dtype or undefined.
struct OutputHead {
  at::Tensor weight, bias;
  OutputHead(at::Tensor weight = {}, at::Tensor bias = {})
      : weight(std::move(weight)), bias(std::move(bias)) {}  // NOLINT: a weight is a head
};

struct HeadLossOptions {
  double scale = 1.0;   ///< the loss is scale · Σ; 1/tokens of the whole step makes micro-batches add up to the batch's mean
  double z_loss = 0.0;  ///< weight of log²Z
  std::int64_t chunk_bytes = 44 << 20;  ///< bound on the logits held at a time
  /// Takes the head's gradient at once, in the forward pass, and in fp32; the loss must then be differentiated with an upstream gradient of
  /// 1.
  GradientSink* sink = nullptr;
};

struct HeadLoss {
  at::Tensor loss;  ///< scalar fp32, differentiable in hidden, weight and bias: scale · Σ_counted (nll + z_loss · log²Z)
  at::Tensor nll;   ///< [N] fp32, −log p(target), 0 where the target is ignored; not differentiable
  /// [N] fp32, 1 where no logit is above the target's (nor equal, in bf16, with a smaller id), 0 elsewhere and where the target is ignored;
  /// their mean is the accuracy.
  at::Tensor hit;
};

/// Output projection and cross-entropy in one: the logits are made a chunk of rows at a time, turned into their own gradient and into both
/// products at once, and dropped: never [N, V] in memory, and nothing recomputed in the backward pass. hidden [N, d] of the head's dtype;
/// targets [N] int64, −100 = not counted. Softmax and sums in fp32; in bf16 the products are rounded to bf16, but for those without a
/// gradient inside a BatchInvariantScope, whose logits stay fp32. Throws InputError when a target is neither −100 nor in [0, V).
HeadLoss head_loss(const at::Tensor& hidden, const OutputHead& head, const at::Tensor& targets, const HeadLossOptions& options = {});

namespace reference {
HeadLoss head_loss(const at::Tensor& hidden, const OutputHead& head, const at::Tensor& targets, const HeadLossOptions& options = {});
}  // namespace reference

constexpr std::int64_t ignored_target = -100;

}  // namespace isotrope

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "isotrope/kernels/linear.h"

namespace isotrope {

struct HeadLossOptions {
  double scale = 1.0;   ///< the loss is scale · Σ; 1/tokens of the whole step makes micro-batches add up to the batch's mean
  double z_loss = 0.0;  ///< weight of log²Z
  at::Tensor weights;   ///< [N], of each row's loss (undefined: 1)
  std::int64_t chunk_bytes = 44 << 20;  ///< bound on the logits held at a time
};

struct HeadLoss {
  at::Tensor loss;  ///< scalar fp32, differentiable in hidden and the head: scale · Σ_counted weight (nll + z_loss · log²Z)
  at::Tensor nll;   ///< [N] fp32, −log p(target), 0 where the target is ignored; not differentiable
  /// [N] fp32, 1 where no logit is above the target's (nor equal, in bf16, with a smaller id), 0 elsewhere and where the target is ignored;
  /// their mean is the accuracy.
  at::Tensor correct;
};

/// Output projection and cross-entropy in one: the logits are made a chunk of rows at a time, turned into their own gradient and into both
/// products at once, and dropped: never [N, V] in memory, and nothing recomputed in the backward pass. hidden [N, d] of the head's dtype;
/// targets [N] int64, −100 = not counted. Softmax and sums in fp32; in bf16 the products are rounded to bf16, but for those without a
/// gradient inside a BatchInvariantScope, whose logits stay fp32. A head that does not train costs no gradient of its own. Where the head's weight has
/// a gradient sink, it is filled in the forward pass; the loss must then be differentiated with an upstream gradient of 1.
/// Throws InputError when a target is neither −100 nor in [0, V), and for weights of another shape.
HeadLoss head_loss(const at::Tensor& hidden, const Linear& head, const at::Tensor& targets, const HeadLossOptions& options = {});

namespace reference {
HeadLoss head_loss(const at::Tensor& hidden, const Linear& head, const at::Tensor& targets, const HeadLossOptions& options = {});
}  // namespace reference

constexpr std::int64_t ignored_target = -100;

}  // namespace isotrope

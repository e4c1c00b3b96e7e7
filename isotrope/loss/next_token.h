#pragma once

#include "isotrope/kernels/head_loss.h"

namespace isotrope {

/// Causal language modelling: hidden [B, T, d] of inputs ids[0..T) against targets [B, T], the ids one later (−100 = not counted).
/// The pairs are made by the objective (train/objectives/clm.cpp); the sum runs over counted positions, times
/// options.scale (kernels/head_loss.h).
/// Returns the scalar loss, and of each position its nll and whether it was correct, [B, T].
inline HeadLoss next_token_loss(const at::Tensor& hidden, const Linear& head, const at::Tensor& targets, const HeadLossOptions& options) {
  auto out = head_loss(hidden.flatten(0, 1), head, targets.flatten(), options);
  return {out.loss, out.nll.view_as(targets), out.correct.view_as(targets)};
}

}  // namespace isotrope

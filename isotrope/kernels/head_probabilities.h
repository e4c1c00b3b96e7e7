#pragma once

#include <ATen/core/Tensor.h>

#include "isotrope/kernels/linear.h"

namespace isotrope {

/// What a head says of each row of hidden [N, d], one fp32 number a row (fp64 where hidden is), with p = softmax(hidden · W̃ᵀ + b).
/// Differentiable in hidden and the head with any upstream gradient a row. Logits are made a chunk of rows at a time and made again in the
/// backward pass: never [N, V] in memory. A head that does not train costs no gradient of its own.

/// ln p(ids_n), ids [N] int64. InputError when one is not in [0, V).
at::Tensor token_log_probabilities(const at::Tensor& hidden, const Linear& head, const at::Tensor& ids);

/// Soft targets: −Σ_v q_nv ln p_nv for `targets` q [N, V] or [1, V], non-negative; not differentiable in q.
at::Tensor head_cross_entropy(const at::Tensor& hidden, const Linear& head, const at::Tensor& targets);

/// KL(q ‖ p) of distributions at one temperature: q = softmax(teacher logits / t), p = softmax(logits / t) (Hinton et al. 2015, arXiv
/// 1503.02531, without their factor t²). teacher_hidden [N, d'] is what the teacher's head projects; no gradient reaches the teacher.
at::Tensor head_kl(const at::Tensor& hidden, const Linear& head, const at::Tensor& teacher_hidden, const Linear& teacher,
                   double temperature = 1);

namespace reference {
at::Tensor token_log_probabilities(const at::Tensor& hidden, const Linear& head, const at::Tensor& ids);
at::Tensor head_cross_entropy(const at::Tensor& hidden, const Linear& head, const at::Tensor& targets);
at::Tensor head_kl(const at::Tensor& hidden, const Linear& head, const at::Tensor& teacher_hidden, const Linear& teacher,
                   double temperature = 1);
}  // namespace reference

}  // namespace isotrope

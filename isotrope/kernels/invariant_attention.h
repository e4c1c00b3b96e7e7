#pragma once

#include <ATen/core/Tensor.h>

#include "isotrope/kernels/attention.h"

namespace isotrope {

/// Whether invariant_attention() has these: inside a BatchInvariantScope, fp32 or bf16 on the CPU, no gradient, nothing done to the
/// probabilities, documents in one piece each.
bool takes_invariant(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options);

/// attention() (attention.h) whose sums over keys run in the order of their positions in the sequence, in groups of 16 at fixed places: a
/// query's result depends on itself and on what it sees alone, bit for bit – not on padding, on keys behind it, on whether its beginning
/// was cached or shared, on the batch or the threads. Scores, softmax and sums are fp32.
at::Tensor invariant_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options);

}  // namespace isotrope

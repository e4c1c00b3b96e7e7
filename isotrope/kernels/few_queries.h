#pragma once

#include <ATen/core/Tensor.h>

#include "isotrope/kernels/attention.h"

namespace isotrope {

/// Whether attention_of_few_queries() has these: fewer than 16 queries, as when a text grows by a token, on the CPU in fp32 or bf16, no
/// gradient, no documents, nothing done to the probabilities.
bool takes_few_queries(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options);

/// attention() (attention.h), each key and value read once a query and head. Scores, softmax and sums are fp32; the same bits for any
/// number of threads.
at::Tensor attention_of_few_queries(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options);

}  // namespace isotrope

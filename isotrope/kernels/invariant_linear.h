#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "isotrope/kernels/few_rows.h"

namespace isotrope {

/// Whether invariant_linears() takes this product: inside a BatchInvariantScope, fp32 or bf16 on the CPU, no gradient recorded.
bool takes_invariant(const at::Tensor& x, const at::Tensor& weight);

/// y [..., N] = x [..., K] · Wᵀ + b of each map, W [N, K] in rows or transposed, b may be undefined. Every number is one chain of fp32 sums
/// over k = 0 … K − 1: a row of y depends on its row of x alone, bit for bit (batch_invariant.h). Rounded to x's dtype, or left in fp32.
std::vector<at::Tensor> invariant_linears(const at::Tensor& x, std::span<const Affine> maps, bool round = true);

}  // namespace isotrope

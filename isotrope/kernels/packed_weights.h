#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "isotrope/io/packed.h"
#include "isotrope/kernels/few_rows.h"

namespace isotrope {

/// A matrix [N, K] that stays in the blocks of its file (io/packed.h): a half or a quarter of the memory of bf16, and as much less to read for every
/// token of a text that grows. Belongs to the weight's tensor, as a gradient sink does.
struct PackedWeight final : c10::BackendMeta {
  Packing packing = Packing::q8_0;
  at::Tensor bytes;  ///< uint8 [N, bytes a row]; of Q8_0, Q4_0 and Q4_1 all scales of a row lie before all its numbers
};

/// Whether rows of K numbers can stay in this packing: whole blocks of it, of more than one number.
bool can_stay_packed(Packing packing, std::int64_t columns);

/// From now on `weight` [N, K], floating-point on the CPU, stands for these blocks: linear(), embedding_lookup() and the losses of a head read them.
/// Its own numbers are NaN and take no memory, so that whatever does not know of the blocks gives NaN. WorkError where the shapes do not belong together.
void keep_packed(const at::Tensor& weight, Packing packing, const at::Tensor& bytes);
/// The blocks of a weight that was kept packed, or null.
const PackedWeight* packed_weight(const at::Tensor& weight);

/// All numbers of a packed weight [N, K], or those of the rows `ids` (int64, any shape) [..., K], in the weight's dtype.
at::Tensor expanded(const at::Tensor& weight);
at::Tensor expanded_rows(const at::Tensor& weight, const at::Tensor& ids);

/// y [..., N] = x [..., K] · Wᵀ + b of each map, whose W is packed; b may be undefined. Up to few_rows rows of x without a gradient: products of fp32 with
/// the blocks as they lie, summed in fp32 in a fixed order, whatever the number of threads. Else products with parts of the matrix that
/// are expanded one after the other; differentiable in x.
std::vector<at::Tensor> packed_linears(const at::Tensor& x, std::span<const Affine> maps);

}  // namespace isotrope

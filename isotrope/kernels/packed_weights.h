#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "isotrope/io/packed.h"
#include "isotrope/kernels/few_rows.h"

namespace isotrope {

/// A matrix [N, K] that stays in the blocks of its file (io/packed.h): a half or a quarter of the memory of bf16, and as much less to read for every
/// token of a text that grows.
struct PackedMatrix {
  Packing packing = Packing::q8_0;
  std::int64_t rows = 0, columns = 0;  ///< N, K
  at::Tensor bytes;                    ///< uint8 [N, bytes a row]; of Q8_0, Q4_0 and Q4_1 all scales of a row lie before all its numbers
};

/// Whether rows of K numbers can stay in this packing: whole blocks of it, of more than one number.
bool can_stay_packed(Packing packing, std::int64_t columns);

/// From the rows of a file, uint8 [N, bytes a row], for K columns. WorkError where the shapes do not belong together.
PackedMatrix packed_matrix(Packing packing, const at::Tensor& bytes, std::int64_t columns);

/// All its numbers [N, K], or those of the rows `ids` (int64, any shape) [..., K], in this dtype.
at::Tensor expanded(const PackedMatrix& matrix, at::ScalarType dtype);
at::Tensor expanded_rows(const PackedMatrix& matrix, const at::Tensor& ids, at::ScalarType dtype);

/// x · Wᵀ + b; b may be undefined.
struct PackedAffine {
  const PackedMatrix* matrix;
  at::Tensor bias;
};

/// y [..., N] of each map, which all read one x [..., K]. Up to few_rows rows of x without a gradient: products of fp32 with
/// the blocks as they lie, summed in fp32 in a fixed order, whatever the number of threads. Else products with parts of the matrix that
/// are expanded one after the other; differentiable in x.
std::vector<at::Tensor> packed_products(const at::Tensor& x, std::span<const PackedAffine> maps);

}  // namespace isotrope

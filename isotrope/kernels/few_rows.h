#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

namespace isotrope {

/// Rows up to which a product is bound by reading the matrix.
constexpr std::int64_t few_rows = 4;

/// x · Wᵀ + b, W [N, K]; b may be undefined.
struct Affine {
  at::Tensor weight, bias;
};

/// Whether few_row_products() takes this product: on the CPU in fp32 or bf16, W in rows, x of at most few_rows rows, no gradient recorded.
bool takes_few_rows(const at::Tensor& x, const at::Tensor& weight);

/// y [..., N] of each map, which all read one x [..., K]. What generating a token at a time spends its time on: the matrices are read once, in
/// the order in which they lie, by all threads in one parallel pass; sums in fp32 in a fixed order, whatever the number of threads.
std::vector<at::Tensor> few_row_products(const at::Tensor& x, std::span<const Affine> maps);

namespace reference {
/// In double precision, rounded to x's dtype.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
}  // namespace reference

}  // namespace isotrope

#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

namespace isotrope {

/// Rows up to which a product is bound by reading the matrix.
constexpr std::int64_t few_rows = 4;

/// y [..., N] = x [..., K] · Wᵀ + b, W [N, K]; b may be undefined. What generating a token at a time spends its time on: W is read once, in
/// the order in which it lies, by all threads; sums in fp32 in a fixed order, whatever the number of threads. On the CPU in fp32 and bf16,
/// where x has at most few_rows rows and no gradient is recorded; onednn_linear() or at::linear everywhere else,
/// packed_linears() where W is packed, invariant_linears() inside a BatchInvariantScope.
at::Tensor linear_of_few_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// x · Wᵀ + b; b may be undefined.
struct Affine {
  at::Tensor weight, bias;
};

/// The same of several matrices that read one x, in one parallel pass over all of them.
std::vector<at::Tensor> linears_of_few_rows(const at::Tensor& x, std::span<const Affine> maps);

namespace reference {
/// In double precision, rounded to x's dtype.
at::Tensor linear_of_few_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
}  // namespace reference

}  // namespace isotrope

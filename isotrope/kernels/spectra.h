#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>

namespace isotrope {

/// One matrix of out × in = m × n, r = min(m, n), as it lies in its weight: views [blocks, rows, n] with blocks · rows = m (matrix_views(),
/// nn/parameters.h). `basis` [n, k], 0 ≤ k < r, contiguous: the right singular directions of the spike as last seen.
struct SpectraMatrix {
  at::Tensor weight, momentum, gradient;  ///< fp32 (the reference: any real dtype)
  at::Tensor working;                     ///< bf16, or undefined
  at::Tensor basis;
};

/// What the singular values of the spike become: `tail_rms` the root mean square of the others (σ), `zero`, `unchanged`; `next` the largest
/// of the others and `median` theirs, which cost a singular value decomposition.
enum class SpikeTarget { tail_rms, next, median, zero, unchanged };

struct SpectraUpdate {
  double lr, weight_decay, momentum;
  double gradient_scale = 1;  ///< the clipping factor
  double rms = 0.2, eps = 1e-8;
  std::int64_t iterations = 1;        ///< of the subspace iteration
  std::int64_t first_iterations = 3;  ///< at least, where M was zero before: the basis knows nothing yet
  SpikeTarget target = SpikeTarget::tail_rms;
};

/// One step of Spectra (arXiv 2602.11185) for each of the matrices, in place:
///   M ← μM + G;  `iterations` times: U ← QR(M V), B ← MᵀU, s_i ← ‖b_i‖, V ← B diag(1/s);  Tail ← M − U Bᵀ;
///   σ ← ‖Tail‖_F / √(r − k);  O ← Tail + U diag(target) Vᵀ;  W ← (1 − lr·λ) W − lr · rms · O / (RMS(O) + ε)
/// U Bᵀ = U Uᵀ M whether or not V has converged, so ‖Tail‖² = ‖M‖² − Σ s², summed in double, and three passes over M are all.
/// Σ s² within rounding of ‖M‖² counts as that rounding. A matrix whose M is zero keeps W, apart from decay, and V. A matrix is computed by
/// one thread: the same bits for any number of them.
void spectra_(std::span<SpectraMatrix> matrices, const SpectraUpdate& update);

/// The thin Q of x [m, k] in double, with diag(R) > 0: orthonormal columns, also where x lacks the rank.
at::Tensor orthonormal_columns(const at::Tensor& x);

namespace reference {
void spectra_(SpectraMatrix& matrix, const SpectraUpdate& update);
}  // namespace reference

}  // namespace isotrope

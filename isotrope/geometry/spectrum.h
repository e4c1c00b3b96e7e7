#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace isotrope {

/// The singular values of a matrix X [m, n], r = min(m, n).
struct SingularValues {
  std::vector<double> values;  ///< descending; all r, or the leading ones where `truncated`
  std::int64_t rank = 0;       ///< r
  double energy = 0;           ///< Σ σ² of all r: ‖X‖_F²
  bool truncated = false;
};

/// A matrix, by the name that an error says.
struct SpectrumInput {
  std::string name;
  at::Tensor matrix;     ///< [m, n], any real dtype
  std::int64_t top = 0;  ///< leading values to find; 0: all
};

/// Of each matrix all values, by LAPACK in double; or, with 0 < top < r, the leading `top` by subspace iteration (Halko, Martinsson & Tropp
/// 2011, algorithm 4.4; eight directions more, six iterations, the same start at every call): what separates from the rest to rounding,
/// values inside a flat tail within some percent, from below.
/// Throws WorkError naming the matrix that holds a number that is not finite.
std::vector<SingularValues> singular_values(std::span<const SpectrumInput> matrices);

/// The spike of a spectrum: its k leading values. Source of k: 1.5% of the directions (Spectra, arXiv 2602.11185).
struct Spike {
  std::int64_t rank = 0;  ///< k
  double energy = 0;      ///< Σ_{i≤k} σ² / Σ σ²; NaN for a matrix of zeros
  double gap =
      0;  ///< geometric mean of the spike over the median of the tail; NaN without a tail, or where it is truncated or below 1e-6 σ₁ (rounding of fp32)
};

/// k = max(1, round(fraction · r)), but at most r.
Spike spike_of(const SingularValues& spectrum, double fraction = 0.015);

/// Where the spike ends by the shape of the spectrum alone: the i ≤ r/10 after which log σ, averaged over w = max(1, r/100) values to each side,
/// falls most; 0 where r is below 20, or the values are zero or too few.
std::int64_t largest_gap(const SingularValues& spectrum);

}  // namespace isotrope

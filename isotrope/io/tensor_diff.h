#pragma once

#include <string>
#include <vector>

#include "isotrope/io/safetensors.h"

namespace isotrope {

/// How one tensor differs between two models. The numbers are of B − A in float64, and NaN where one side has a NaN that the other lacks.
struct TensorDiff {
  enum class Kind { compared, only_in_a, only_in_b, shapes_differ } kind = Kind::compared;
  std::string name;
  std::vector<std::int64_t> shape_a, shape_b;
  std::string dtype_a, dtype_b;  ///< "" on the side where the tensor is missing
  bool identical = false;        ///< same dtype, same bytes
  double max_abs = 0;            ///< max |B − A|
  double rms = 0;                ///< sqrt(mean (B − A)²)
  double relative = 0;           ///< ‖B − A‖₂ / ‖A‖₂; infinite when only A is zero
};

struct ModelDiff {
  std::vector<TensorDiff> tensors;  ///< what cannot be compared first, then by falling relative difference, then by name
  std::size_t identical = 0, compared = 0, unmatched = 0;
  double worst_relative = 0, worst_abs = 0;  ///< over what was compared; NaN when any of it is

  /// Whether every tensor has its match and no relative difference exceeds the tolerance.
  bool within(double tolerance) const;
};

/// Compares tensors by name, a block at a time: memory does not grow with the models.
ModelDiff diff_tensors(const TensorFolder& a, const TensorFolder& b);

}  // namespace isotrope

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace isotrope {

/// U S Vᵀ of x = U Σ Vᵀ [m, n] with S near one (about .7 to 1.2 after five iterations): what Muon takes for the polar factor U Vᵀ.
///   X ← x / (‖x‖_F + 1e-7), the longer side last;  X ← a X + (b A + c A²) X,  A = X Xᵀ,  (a, b, c) = (3.4445, −4.7750, 2.0315)
/// In x's dtype; the norm in double. Costs 2 r² (2 L + r) operations an iteration, r the shorter side and L the longer.
/// Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
at::Tensor newton_schulz(const at::Tensor& x, std::int64_t iterations = 5);

}  // namespace isotrope

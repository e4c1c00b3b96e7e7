#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

namespace isotrope {

/// The dropout of one forward pass in training (Srivastava et al. 2014): numbers are zeroed with probability p, the others divided by 1 −
/// p. A mask is a function of (seed, step, how many calls of the pass came before, row of the step's batch, place in the row): the same for
/// any number of threads and for any split of the batch into micro-batches. One without arguments lets everything pass.
class Dropout {
 public:
  Dropout() = default;
  /// first_row  the row of the step's batch that row 0 of this pass is
  Dropout(std::uint64_t seed, std::uint64_t step, std::int64_t first_row)
      : seed_(seed), step_(step), first_row_(first_row), calls_(std::make_shared<std::uint32_t>(0)) {}

  bool acts() const { return calls_ != nullptr; }
  /// x [B, …]; differentiable. 0 ≤ p < 1.
  at::Tensor operator()(const at::Tensor& x, double p) const;

 private:
  std::uint64_t seed_ = 0, step_ = 0;
  std::int64_t first_row_ = 0;
  std::shared_ptr<std::uint32_t> calls_;  // of this pass; null: no dropout
};

}  // namespace isotrope

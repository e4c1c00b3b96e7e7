#pragma once

namespace isotrope {

/// While one lives, kernels on this thread make every row's numbers by operations and in an order that depend on that row (and the tokens
/// that it sees) alone: the same bits whatever else is in the batch, in whatever order, on however many threads. For fp32 and bf16 on the
/// CPU without a gradient; elsewhere it changes nothing. Slower than the fastest way by the packing of the weights (docs/why/same_bits.md).
class BatchInvariantScope {
 public:
  BatchInvariantScope();
  ~BatchInvariantScope();
  BatchInvariantScope(const BatchInvariantScope&) = delete;
  BatchInvariantScope& operator=(const BatchInvariantScope&) = delete;
};

/// Whether this thread is inside of one.
bool is_batch_invariant();

}  // namespace isotrope

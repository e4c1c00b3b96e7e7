#include "isotrope/kernels/batch_invariant.h"

namespace isotrope {

namespace {

thread_local int depth = 0;

}  // namespace

BatchInvariantScope::BatchInvariantScope() { ++depth; }
BatchInvariantScope::~BatchInvariantScope() { --depth; }
bool is_batch_invariant() { return depth > 0; }

}  // namespace isotrope

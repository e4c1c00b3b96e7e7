#include "isotrope/kernels/composed.h"

#include <ATen/core/grad_mode.h>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

thread_local int composed_depth = 0;

}  // namespace

ComposedScope::ComposedScope() { ++composed_depth; }
ComposedScope::~ComposedScope() { --composed_depth; }
bool is_composed() { return composed_depth > 0; }

void refuse_second_derivative(std::string_view operation) {
  if (at::GradMode::is_enabled())
    throw with_hint(WorkError("autograd", "{}: the kernel has no second derivative, and create_graph asks for one", operation),
                    "run the forward pass inside a ComposedScope");
}

}  // namespace isotrope

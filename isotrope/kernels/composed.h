#pragma once

#include <string_view>

namespace isotrope {

/// While one lives, every operation of this thread takes its composed reference: operations of libtorch alone, which differentiate as often
/// as one likes and compute in the dtype they are given, float64 among them. Kernels, libtorch's fused attention and gradient sinks are
/// passed by; also inside a BatchInvariantScope. Slower, and attention holds its [T, S] probabilities.
/// The forward pass chooses, on the thread that makes it: what it recorded may be differentiated anywhere, and after the scope's end.
class ComposedScope {
 public:
  ComposedScope();
  ~ComposedScope();
  ComposedScope(const ComposedScope&) = delete;
  ComposedScope& operator=(const ComposedScope&) = delete;
};

/// Whether this thread is inside of one.
bool is_composed();

/// The first line of every custom backward pass: what it writes through pointers has no graph, and a second derivative would lack its terms
/// without a word. WorkError that names `operation` where one is asked for (create_graph, under which libtorch runs it with gradients on).
void refuse_second_derivative(std::string_view operation);

}  // namespace isotrope

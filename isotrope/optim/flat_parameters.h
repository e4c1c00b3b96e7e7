#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "isotrope/nn/parameters.h"

namespace isotrope {

/// Where one parameter lies in the flat buffers.
struct Segment {
  std::string name;
  ParameterClass kind;
  std::int64_t offset, count;
  std::vector<std::int64_t> shape;
};

/// All parameters of a model in flat buffers: fp32 master weights, fp32 gradients and, where the model computes in bf16, a bf16 working
/// copy. From construction on the model's tensors are views of these buffers. Matrices carry a gradient sink (kernels/gradient_sink.h),
/// through which backward passes add to gradients() in fp32 directly; what autograd leaves in .grad (vectors) is added by
/// collect_gradients(). Segments start at multiples of 64 numbers; the gaps stay zero. The model must outlive this object.
class FlatParameters {
 public:
  /// Takes the present values of `parameters` as master weights; `working` is what the model computes in from now on (fp32 or bf16).
  FlatParameters(Parameters& parameters, at::ScalarType working);

  const std::vector<Segment>& segments() const { return segments_; }
  at::Tensor& master() { return master_; }
  at::Tensor& gradients() { return gradients_; }                           ///< the sum over micro-batches, after collect_gradients()
  at::Tensor working() const { return mixed_ ? working_ : at::Tensor(); }  ///< bf16 copy, or undefined when the master itself is used

  /// Forgets all gradients; gradients() holds the new ones from the next collect_gradients() on.
  void zero_gradients();
  /// Completes gradients() after a backward pass.
  void collect_gradients();
  /// Copies the master weights into the working copy (after loading a checkpoint).
  void refresh_working();

  /// The part of a flat buffer that belongs to a segment, in the parameter's shape (a view).
  static at::Tensor part(const at::Tensor& flat, const Segment& segment);
  const Segment& segment(std::string_view name) const;

 private:
  bool mixed_;
  std::vector<Segment> segments_;
  std::vector<at::Tensor> values_;  // the model's tensors, in the order of the segments
  at::Tensor master_, gradients_, working_;
};

}  // namespace isotrope

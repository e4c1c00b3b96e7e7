#pragma once

#include <ATen/core/Tensor.h>

#include <span>
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
  MatrixForm form = {};
  bool trains = true;
  bool merges = false;  ///< a weight with additions, or one of them: in saved folders they are one tensor

  /// Its part of a flat buffer, in the parameter's shape (a view).
  at::Tensor in(const at::Tensor& flat) const;
};

/// Parameters that lie side by side in the flat buffers, because one update rule serves them.
struct ParameterGroup {
  std::vector<const Segment*> segments;  ///< in the model's order
  std::int64_t offset = 0, count = 0;    ///< of all, the gaps between them included

  /// Their part of a flat buffer; an undefined buffer stays undefined.
  at::Tensor in(const at::Tensor& flat) const;
};

/// All parameters of a model in flat buffers: fp32 master weights and, where the model computes in bf16, a bf16 working copy. From
/// construction on the model's tensors are views of these buffers. Segments start at multiples of 64 numbers; the gaps stay zero. What
/// does not train lies last. The model must outlive this object.
class FlatParameters {
 public:
  /// Takes the present values of `parameters` as master weights; `working` is what the model computes in from now on (fp32 or bf16).
  /// groups[i] is the group of parameter i; without groups, and for what does not train, it does not matter.
  FlatParameters(Parameters& parameters, at::ScalarType working, std::span<const std::size_t> groups = {});
  FlatParameters(const FlatParameters&) = delete;

  const std::vector<Segment>& segments() const { return segments_; }  ///< in the model's order
  const Segment& segment(std::string_view name) const;
  const std::vector<ParameterGroup>& groups() const { return groups_; }  ///< by number; of what trains
  const at::Tensor& master() const { return master_; }
  at::Tensor working() const { return mixed_ ? working_ : at::Tensor(); }  ///< bf16 copy, or undefined when the master itself is used
  const std::vector<at::Tensor>& values() const { return values_; }        ///< the model's tensors, in the order of the segments
  const std::vector<Slot>& slots() const { return slots_; }                ///< theirs, null for what is no matrix of a layer
  std::int64_t trained_size() const { return trained_size_; }              ///< numbers of a flat buffer that holds what trains

  /// Copies the master weights into the working copy (after loading a checkpoint).
  void refresh_working();

 private:
  bool mixed_;
  std::vector<Segment> segments_;
  std::vector<ParameterGroup> groups_;
  std::vector<at::Tensor> values_;
  std::vector<Slot> slots_;
  std::int64_t trained_size_ = 0;
  at::Tensor master_, working_;
};

/// The gradients of the parameters that train, fp32, laid out like the master weights: the sum over backward passes. Matrices carry a
/// gradient sink (kernels/gradient_sink.h), through which backward passes add here directly; what autograd leaves in .grad (vectors) is
/// added by collect(). Several may exist, a step's and a probe's own: backward passes add to the one that began last.
class Gradients {
 public:
  /// `parameters` must outlive it.
  explicit Gradients(const FlatParameters& parameters);
  Gradients(const Gradients&) = delete;

  /// Forgets what was summed; from here on backward passes add here.
  void begin();
  /// Completes the sum after a backward pass.
  void collect();

  const at::Tensor& flat() const { return flat_; }
  at::Tensor of(const Segment& segment) const { return segment.in(flat_); }
  /// Σ g² of every segment that trains, in the model's order; 0 for the others.
  std::vector<double> squared_norms() const;

 private:
  const FlatParameters& parameters_;
  at::Tensor flat_;
};

}  // namespace isotrope

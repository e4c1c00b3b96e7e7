#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/kernels/linear.h"

namespace isotrope {

/// What a parameter is: optimizers, decay, clipping, quantization and reports go by it.
enum class ParameterClass { matrix, embedding, head, vector, multiplier };
std::string_view class_name(ParameterClass kind);

/// How a parameter starts. normal: N(0, std²); zeros; ones; and those of a state-space layer (Dao & Gu 2024, arXiv 2405.21060):
/// log_uniform: ln of a number uniform in [low, high); time_step: softplus⁻¹ of a number whose logarithm is, raised to `floor`.
/// sinusoids: row p of a table of width d has sin and cos of p / 10000^(2i/d) at 2i and 2i + 1 (Vaswani et al. 2017).
struct Initialization {
  enum class Kind { normal, zeros, ones, log_uniform, time_step, sinusoids } kind = Kind::normal;
  double std = 0.02;
  double cutoff = 0;  ///< of a normal number, in units of std, as of a truncated normal distribution; 0: none
  double low = 1, high = 1, floor = 0;
};

/// How a stored weight is made of matrices [out, in], for all that looks at singular vectors: optimizers, spectra.
struct MatrixForm {
  bool convolution = false;  ///< taps of a filter, no matrix
  bool transposed = false;   ///< stored [in, out]
  /// Output rows of the matrices that are stored as one; empty: a single matrix. Where the heads of queries, keys and values take turns,
  /// there are `blocks` stretches of rows, and each holds the given number of every part.
  std::vector<std::int64_t> parts = {};
  std::int64_t blocks = 1;
};

/// The matrices of a stored weight (or of a tensor of its shape), as views [blocks, rows, in] whose first two axes are the output.
std::vector<at::Tensor> matrix_views(const at::Tensor& stored, const MatrixForm& form);

struct NamedMatrix {
  std::string name;  ///< the weight's; where it is made of several, with .0, .1 … behind
  at::Tensor view;   ///< [blocks, rows, in]
};
std::vector<NamedMatrix> named_matrices(const std::string& name, const at::Tensor& stored, const MatrixForm& form);

struct Parameter {
  std::string name;  ///< as in the Hugging Face checkpoint
  ParameterClass kind;
  Initialization init;
  at::Tensor value;              ///< a leaf that requires its gradient; the model holds the same tensor
  MatrixForm form = {};          ///< of matrices; set by the family that stores it otherwise than as one [out, in]
  bool trains = true;            ///< whether optimizers move it
  Slot slot = {};                ///< of a matrix that layers multiply with or look rows up in; its weight is `value`
  std::string addition_to = {};  ///< the weight that this is a multiplier or a factor of (nn/additions.h); saved folders have it merged
};

/// An uninitialised tensor. WorkError naming `what` when there is no memory for it.
at::Tensor allocate(std::vector<std::int64_t> shape, const at::TensorOptions& options, const std::string& what);

/// The parameters of a model in the order of its forward pass. The table serves loading, saving, counting and optimizers;
/// the model keeps handles to the same tensors, so that set_data() on a value moves what the model computes with.
class Parameters {
 public:
  explicit Parameters(at::TensorOptions options) : options_(options) {}

  /// Allocates (uninitialised), records and returns the tensor. WorkError when there is no memory for it.
  at::Tensor add(std::string name, std::vector<std::int64_t> shape, ParameterClass kind, Initialization init, MatrixForm form = {});
  /// The same for a matrix that layers multiply with, [out, in] ([in, out] where form.transposed), or look rows up in.
  Slot add_matrix(std::string name, std::vector<std::int64_t> shape, ParameterClass kind, Initialization init, MatrixForm form = {});

  const std::vector<Parameter>& all() const { return all_; }
  std::vector<Parameter>& all() { return all_; }
  const Parameter* find(std::string_view name) const;  ///< null when there is none
  std::int64_t count() const;                          ///< numbers in all parameters
  std::int64_t count(ParameterClass kind) const;
  const at::TensorOptions& options() const { return options_; }

 private:
  std::vector<Parameter> all_;
  at::TensorOptions options_;
};

/// Draws a parameter, or all, anew: a function of (seed, name) alone, whatever the order, dtype, device and number of threads.
void initialize_(Parameter& parameter, std::uint64_t seed);
void initialize_(Parameters& parameters, std::uint64_t seed);

}  // namespace isotrope

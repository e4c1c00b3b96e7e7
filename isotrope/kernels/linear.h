#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "isotrope/kernels/gradient_sink.h"
#include "isotrope/kernels/packed_weights.h"

namespace isotrope {

/// One matrix W of a model and all that belongs to it. What layers multiply with is
///   W̃ = s · diag(r) W diag(c) + lora_scale · B A
/// (learnable multipliers: arXiv 2601.04890; low-rank adaptation: Hu et al. 2021, arXiv 2106.09685); what is undefined is left out.
/// Layers that share a matrix (a tied head) share its slot.
struct LinearSlot final : torch::CustomClassHolder {
  std::string name;                                   ///< the weight's, as in the checkpoint
  at::Tensor weight;                                  ///< W [out, in], or [in, out] when `transposed` (GPT-2's Conv1D layout)
  bool transposed = false;                            ///
  at::Tensor row, column, scale;                      ///< r [out], c [in], s []
  at::Tensor down, up;                                ///< A [k, in], B [out, k]
  double lora_scale = 1;                              ///< α / k
  std::shared_ptr<const PackedMatrix> packed;         ///< W as its file has it, in place of `weight`
  GradientSink sink;                                  ///< of W's gradient
  std::function<void(const at::Tensor& x)> on_input;  ///< sees what is multiplied, [..., in], at every product
  /// Outside of a ComposedScope, sees x [N, in] and the gradient dy [N, out] of what came out, as a backward pass finds them: Σ_n dy_n x_nᵀ
  /// is the gradient of W̃. Of layers and heads (those of head_loss in the forward pass), not of lookups, packed matrices, the recurrence of
  /// an LSTM and the character CNN.
  std::function<void(const at::Tensor& x, const at::Tensor& dy)> on_gradient;

  std::int64_t outputs() const { return weight.size(transposed ? 1 : 0); }
  std::int64_t inputs() const { return weight.size(transposed ? 0 : 1); }
  bool has_multipliers() const { return row.defined() || column.defined() || scale.defined(); }
  bool has_lora() const { return up.defined(); }
  bool has_additions() const { return has_multipliers() || has_lora(); }
  bool trains() const;  ///< whether a gradient of W or of an addition is asked for
};
using Slot = c10::intrusive_ptr<LinearSlot>;

/// W̃ as `weight` lies, from tensor operations: differentiable any number of times in all parts. W itself where nothing is added to it.
at::Tensor effective_weight(const LinearSlot& slot);

/// y = x W̃ᵀ + b for x [..., in], b [out] or undefined: a layer, or the output projection of a language model.
/// Which product serves which case: inside a ComposedScope tensor operations; blocks of a file packed_products(); where a gradient of W goes
/// to its sink, of multipliers is asked for, or is observed, a function that makes them in fp32 (differentiable once); else products() with W̃.
/// LoRA is two products with its factors: a layer never makes the gradient of a frozen W. Heads, LSTMs and the character CNN take W̃ as a whole.
struct Linear {
  Slot slot;
  at::Tensor bias;

  Linear() = default;
  Linear(Slot slot, at::Tensor bias = {}) : slot(std::move(slot)), bias(std::move(bias)) {}  // NOLINT: a matrix is a map
  /// A matrix [out, in] that belongs to no model.
  Linear(at::Tensor weight, at::Tensor bias = {});  // NOLINT

  bool defined() const { return slot.defined(); }
  const at::Tensor& weight() const { return slot->weight; }
  at::Tensor operator()(const at::Tensor& x) const;
};

/// What several of them make of one x: a pass over all their weights where x has few rows and no gradient is recorded.
std::vector<at::Tensor> linears(const at::Tensor& x, std::initializer_list<const Linear*> layers);

/// From now on the slot's W stands for these blocks, on the CPU: `weight` is NaN and takes no memory, so that whatever does not know of the
/// blocks gives NaN. WorkError where the shapes do not belong together.
void keep_packed(LinearSlot& slot, PackedMatrix matrix);

/// Rows ids [...] of W̃ [V, d] → [..., d]. Differentiable in the table and its additions; W's gradient goes to its sink if it has one.
at::Tensor embedding_lookup(const Slot& table, const at::Tensor& ids);

/// Of W, r, c, s, A and B, for those that ask for one; of W undefined where its sink has got it.
struct SlotGradients {
  at::Tensor weight, row, column, scale, down, up;
};
/// From the gradient of W̃, fp32, as `weight` lies: ∂W = s r_i c_j G, ∂r_i = s Σ_j W_ij c_j G_ij, ∂c_j = s Σ_i r_i W_ij G_ij,
/// ∂s = Σ r_i W_ij c_j G_ij, ∂A = lora_scale Bᵀ G, ∂B = lora_scale G Aᵀ.
SlotGradients spread_gradient(LinearSlot& slot, const at::Tensor& gradient, bool of_weight);

/// y [..., N] = x [..., K] · Wᵀ + b of plain matrices W [N, K] that read one x, where no gradient but autograd's own is asked for:
/// invariant_linears() inside a BatchInvariantScope, few_row_products() for few rows, onednn_linear() in fp32, at::linear() everywhere else.
std::vector<at::Tensor> products(const at::Tensor& x, std::span<const Affine> maps);
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace isotrope

#pragma once

#include <ATen/core/Tensor.h>

#include "isotrope/kernels/linear.h"

namespace isotrope {

struct LstmOptions {
  at::Tensor documents;    ///< [B, T] int64: the state begins anew with each; default: with each row
  bool backwards = false;  ///< reads from the last token on
};

/// The recurrence of an LSTM whose state is projected (Hochreiter & Schmidhuber 1997; Sak et al. 2014, arXiv 1402.1128):
///   i, f, g, o = gates_t + W_hh h_{t−1};  c_t = σ(f + 1) c_{t−1} + σ(i) tanh(g);  h_t = W_hr (σ(o) tanh(c_t))
/// gates [B, T, 4C] = W_ih x + b, weight_hh [4C, p], weight_hr [p, C] → h [B, T, p] in the dtype of gates; the state is fp32 throughout.
/// Differentiable; the gradients of the weights go to their sinks where they have one. Throws WorkError for shapes that do not fit.
at::Tensor projected_lstm(const at::Tensor& gates, const Slot& weight_hh, const Slot& weight_hr, const LstmOptions& options = {});

namespace reference {
at::Tensor projected_lstm(const at::Tensor& gates, const at::Tensor& weight_hh, const at::Tensor& weight_hr,
                          const LstmOptions& options = {});
}  // namespace reference

}  // namespace isotrope

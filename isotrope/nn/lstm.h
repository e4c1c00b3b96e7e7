#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "isotrope/nn/parameters.h"

namespace isotrope {

/// One layer of an LSTM whose state is projected (Hochreiter & Schmidhuber 1997; Sak et al. 2014), with C cells and outputs of width p:
///   i, f, g, o = W_ih x_t + W_hh h_{t−1} + b;  c_t = σ(f + 1) c_{t−1} + σ(i) tanh(g);  h_t = W_hr (σ(o) tanh(c_t))
/// Every text begins with h = c = 0.
struct Lstm {
  at::Tensor weight_ih, weight_hh, bias, weight_hr;  ///< [4C, in], [4C, p], [4C], [p, C]

  /// x [B, T, in] → [B, T, p], from the first token on, or from the last where `backwards`. documents [B, T] or undefined: the state starts anew with
  /// each. Computed in fp32, rounded to the dtype of x.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& documents, bool backwards) const;
};

/// Adds `name`.weight_ih, .weight_hh, .bias and .weight_hr; matrices begin as N(0, 1/fan-in).
Lstm add_lstm(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t cells, std::int64_t out);

}  // namespace isotrope

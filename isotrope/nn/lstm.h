#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "isotrope/kernels/projected_lstm.h"
#include "isotrope/nn/parameters.h"

namespace isotrope {

/// One layer of an LSTM whose state is projected (kernels/projected_lstm.h), with C cells and outputs of width p.
struct Lstm {
  Linear gates;               ///< W_ih [4C, in] and b [4C]
  Slot weight_hh, weight_hr;  ///< [4C, p], [p, C]

  /// x [B, T, in] → [B, T, p].
  at::Tensor operator()(const at::Tensor& x, const LstmOptions& options) const;
};

/// Adds `name`.weight_ih, .weight_hh, .bias and .weight_hr; matrices begin as N(0, 1/fan-in).
Lstm add_lstm(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t cells, std::int64_t out);

}  // namespace isotrope

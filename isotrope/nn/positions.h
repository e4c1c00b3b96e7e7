#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "isotrope/kernels/rope.h"

namespace isotrope {

/// Positions [B, T] int64 of new tokens: past, past + 1, … in every row, or restarting at 0 with each document (documents [B, T],
/// non-decreasing).
at::Tensor token_positions(std::int64_t batch, std::int64_t tokens, std::int64_t past, const at::Tensor& documents, at::Device device);

/// How rotary angles depend on position. Frequencies are computed in fp32 by the same operations as transformers, so that angles at
/// large positions have the same bits.
struct RopeScaling {
  double theta = 10000;
  std::string type = "default";  ///< default | linear | llama3
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  std::int64_t original_max_positions = 8192;

  bool operator==(const RopeScaling&) const = default;
};

/// Rotary tables that grow with the positions asked for. Not thread-safe.
class RopeTables {
 public:
  RopeTables(const RopeScaling& scaling, std::int64_t head_dim);
  /// Tables of at least `positions` rows on `device`.
  const RopeTable& at_least(std::int64_t positions, at::Device device);

 private:
  at::Tensor frequencies_;  // [head_dim/2] fp32
  RopeTable table_;
};

}  // namespace isotrope

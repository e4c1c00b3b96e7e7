#pragma once

#include <ATen/core/Tensor.h>

namespace isotrope {

/// Cosines and sines of the rotary angles: each [positions, head_dim/2], fp32.
struct RopeTable {
  at::Tensor cos, sin;
};

/// Rotary position embedding (Su et al. 2021), rotate-half: pairs (x_i, x_{i+h/2}) turned by position · frequency_i.
/// x [B, T, H, head_dim] fp32 or bf16; positions [B, T] int64 rows of the table; arithmetic in fp32. Differentiable in x.
at::Tensor rope(const at::Tensor& x, const RopeTable& table, const at::Tensor& positions);

namespace reference {
at::Tensor rope(const at::Tensor& x, const RopeTable& table, const at::Tensor& positions);
}  // namespace reference

}  // namespace isotrope

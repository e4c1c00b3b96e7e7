#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace isotrope {

/// What a selective scan reads: H heads of P channels, each with P · N numbers of state; B and C are shared by the heads of a group,
/// head h reads group h / (H/G).
struct ScanInputs {
  at::Tensor x;   ///< [B, T, H, P] fp32 or bf16
  at::Tensor dt;  ///< [B, T, H] fp32, the steps, > 0: softplus and limits lie behind
  at::Tensor A;   ///< [H] fp32, < 0
  at::Tensor B;   ///< [B, T, G, N], as x
  at::Tensor C;   ///< [B, T, G, N], as x
  at::Tensor D;   ///< [H] fp32
};

struct ScanOptions {
  at::Tensor documents;      ///< [B, T] int64: the state is forgotten before the first token of each document but a row's first
  at::Tensor initial_state;  ///< [B, H, P, N] fp32; undefined: zeros
};

struct ScanResult {
  at::Tensor y;      ///< [B, T, H, P], as x
  at::Tensor state;  ///< [B, H, P, N] fp32 after the last token
};

/// The recurrence of Mamba-2 (Dao & Gu 2024, arXiv 2405.21060), state and sums in fp32:
///   S_t = exp(dt_t A) S_{t−1} + dt_t x_t ⊗ B_t,   y_t = S_t C_t + D x_t.
/// Differentiable in every input and the initial state; keeps the state before every 32nd token for the way back. The same bits for any
/// number of threads. Own kernel on the CPU, chunked_selective_scan elsewhere. WorkError where shapes do not belong together.
ScanResult selective_scan(const ScanInputs& in, const ScanOptions& options = {});

/// The same from tensor operations by the dual form of the paper (section 6): inside a chunk a masked product as of attention, between
/// chunks the recurrence. Any floating dtype and device.
ScanResult chunked_selective_scan(const ScanInputs& in, const ScanOptions& options = {}, std::int64_t chunk = 64);

namespace reference {
/// Token by token.
ScanResult selective_scan(const ScanInputs& in, const ScanOptions& options = {});
}  // namespace reference

}  // namespace isotrope

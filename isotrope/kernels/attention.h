#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>

#include "isotrope/kernels/sequence_tree.h"

namespace isotrope {

struct AttentionOptions {
  double scale = 0;      ///< of the scores; 0: 1/√head_dim
  bool causal = true;    ///< query t sees keys ≤ t + (S − T): the last query sees everything, as with a cache
  at::Tensor documents;  ///< [B, T] int64, S = T only: tokens see their own document alone; undefined: no mask
  /// B = 1, S = T, causal: tokens see the sequence that they end alone, and distances are those in it. Instead of documents.
  const SequenceTree* sequences = nullptr;
  /// Keys farther than this from the query are hidden, on either side: a sliding window of window + 1 tokens when causal.
  std::optional<std::int64_t> window = {};
  /// [H] fp32: ALiBi (Press et al. 2022) adds slope · (key − query) to a head's scores. Not differentiable in it.
  at::Tensor slopes = {};
  /// What becomes of the probabilities [B, H, T, S] before they mix the values (dropout); takes the composed way, which holds them all.
  std::function<at::Tensor(const at::Tensor&)> on_probabilities = {};
};

/// softmax(scale · q kᵀ + bias + mask) v. q [B, H, T, hd]; k, v [B, Hkv, S, hd] with H a multiple of Hkv (head h reads group h / (H/Hkv)).
/// Returns [B, H, T, hd]. Sums and softmax in fp32. Differentiable in q, k, v. Own blocks in bf16 on the CPU for 16
/// queries and more (attention_blocks.h), own rows for fewer of them without a gradient (few_queries.h), libtorch's scaled-dot-product
/// kernels otherwise, which differentiate once; inside a BatchInvariantScope, invariant_attention().
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options = {});

namespace reference {
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options = {});
}  // namespace reference

}  // namespace isotrope

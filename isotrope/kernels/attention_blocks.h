#pragma once

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace isotrope {

/// The shape of one attention call, and where its tensors lie. All bf16 rows are contiguous in head_dim; strides in elements.
struct AttentionShape {
  std::int64_t batch, heads, kv_heads, queries, keys, head_dim;
  float scale;
  bool causal;                                                         ///< query t sees keys ≤ t + keys − queries
  const std::int64_t* documents = nullptr;                             ///< [batch, queries] or null
  std::int64_t window = std::numeric_limits<std::int64_t>::max() / 4;  ///< keys farther from the query are hidden
  const float* slopes = nullptr;                                       ///< [heads], or null: of a score a key nearer to the end

  /// The keys [first, last) that the query at position t (as a key's) sees.
  std::int64_t first_key(std::int64_t t) const { return t > window ? t - window : 0; }
  std::int64_t last_key(std::int64_t t) const { return causal ? std::min(keys, t + 1) : std::min(keys, t + window + 1); }
};

struct AttentionRows {
  c10::BFloat16* data;
  std::int64_t batch_stride, head_stride, row_stride;
  c10::BFloat16* at(std::int64_t batch, std::int64_t head) const { return data + batch * batch_stride + head * head_stride; }
};

/// Blockwise attention with an online softmax (Milakov & Gimelshein 2018; Dao 2023), bf16 with fp32 sums; no [T, S] matrix is kept.
/// Writes out and `statistics` (may be null): [batch, head, 2, query] fp32, the largest score q·k of each query, and log₂ Σ exp(scale ·
/// (q·k − largest)). The same bits for any number of threads: a (batch, key-value head) pair is one thread's work.
void attention_forward(const AttentionShape& shape, const AttentionRows& q, const AttentionRows& k, const AttentionRows& v,
                       const AttentionRows& out, float* statistics);

/// Gradients of q, k, v from that of the output; probabilities are made again from `statistics`.
void attention_backward(const AttentionShape& shape, const AttentionRows& q, const AttentionRows& k, const AttentionRows& v,
                        const AttentionRows& out, const float* statistics, const AttentionRows& d_out, const AttentionRows& dq,
                        const AttentionRows& dk, const AttentionRows& dv);

}  // namespace isotrope

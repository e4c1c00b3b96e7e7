#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace isotrope {

/// What a state-space layer keeps of the tokens so far, however many they were. Both undefined before the first token.
struct RecurrentState {
  at::Tensor inputs;  ///< [B, K − 1, channels]: the last inputs of its convolution
  at::Tensor state;   ///< [B, H, P, N] fp32
};

/// What a model keeps of the tokens seen so far. Of an attention: keys (after RoPE) and values, one pair of [B, Hkv, capacity, head_dim]
/// buffers a layer, allocated at first use; of a state-space layer its RecurrentState; a layer may have both.
/// A forward pass appends to every layer, then the model calls advance() once.
class KvCache {
 public:
  explicit KvCache(std::int64_t capacity) : capacity_(capacity) {}

  std::int64_t length() const { return length_; }
  std::int64_t capacity() const { return capacity_; }
  /// Stores k, v [B, Hkv, T, head_dim] behind the tokens so far; returns all keys and values up to and with them (views).
  /// Throws WorkError when they do not fit.
  std::pair<at::Tensor, at::Tensor> append(std::int64_t layer, const at::Tensor& k, const at::Tensor& v);
  /// The state of a layer, read and written over by its forward pass. Throws WorkError when `tokens` more do not fit.
  RecurrentState& recurrent(std::int64_t layer, std::int64_t tokens);
  void advance(std::int64_t tokens) { length_ += tokens; }
  /// Forgets everything from token `length` on; buffers are kept. A recurrent state cannot go back to a token: WorkError unless all or
  /// nothing of it is forgotten.
  void truncate(std::int64_t length);

 private:
  void expect_room(std::int64_t tokens) const;

  std::int64_t capacity_, length_ = 0;
  std::vector<std::pair<at::Tensor, at::Tensor>> layers_;
  std::vector<RecurrentState> recurrent_;
};

}  // namespace isotrope

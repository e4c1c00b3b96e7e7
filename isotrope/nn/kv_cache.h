#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace isotrope {

/// Keys (after RoPE) and values of the tokens seen so far, one pair of [B, Hkv, capacity, head_dim] buffers a layer, allocated at first use.
/// A forward pass appends to every layer, then the model calls advance() once.
class KvCache {
 public:
  explicit KvCache(std::int64_t capacity) : capacity_(capacity) {}

  std::int64_t length() const { return length_; }
  std::int64_t capacity() const { return capacity_; }
  /// Stores k, v [B, Hkv, T, head_dim] behind the tokens so far; returns all keys and values up to and with them (views).
  /// Throws WorkError when they do not fit.
  std::pair<at::Tensor, at::Tensor> append(std::int64_t layer, const at::Tensor& k, const at::Tensor& v);
  void advance(std::int64_t tokens) { length_ += tokens; }
  /// Forgets everything from token `length` on; buffers are kept.
  void truncate(std::int64_t length) { length_ = std::min(length_, length); }

 private:
  std::int64_t capacity_, length_ = 0;
  std::vector<std::pair<at::Tensor, at::Tensor>> layers_;
};

}  // namespace isotrope

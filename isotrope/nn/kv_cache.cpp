#include "isotrope/nn/kv_cache.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"

namespace isotrope {

void KvCache::expect_room(std::int64_t tokens) const {
  if (length_ + tokens > capacity_) throw WorkError("cache", "{} tokens after {} do not fit a cache of {}", tokens, length_, capacity_);
}

std::pair<at::Tensor, at::Tensor> KvCache::append(std::int64_t layer, const at::Tensor& k, const at::Tensor& v) {
  const auto tokens = k.size(2);
  expect_room(tokens);
  if (static_cast<std::size_t>(layer) >= layers_.size()) layers_.resize(layer + 1);
  auto& [keys, values] = layers_[layer];
  if (!keys.defined()) {
    keys = at::empty({k.size(0), k.size(1), capacity_, k.size(3)}, k.options());
    values = at::empty({v.size(0), v.size(1), capacity_, v.size(3)}, v.options());
  }
  keys.narrow(2, length_, tokens).copy_(k);
  values.narrow(2, length_, tokens).copy_(v);
  return {keys.narrow(2, 0, length_ + tokens), values.narrow(2, 0, length_ + tokens)};
}

RecurrentState& KvCache::recurrent(std::int64_t layer, std::int64_t tokens) {
  expect_room(tokens);
  if (static_cast<std::size_t>(layer) >= recurrent_.size()) recurrent_.resize(layer + 1);
  return recurrent_[layer];
}

void KvCache::truncate(std::int64_t length) {
  if (length >= length_) return;
  if (length > 0 && !recurrent_.empty())
    throw WorkError("cache", "a recurrent state after {} tokens cannot go back to {}: expected all or none of them", length_, length);
  recurrent_.clear();
  length_ = length;
}

}  // namespace isotrope

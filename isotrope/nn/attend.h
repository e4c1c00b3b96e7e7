#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "isotrope/kernels/attention.h"
#include "isotrope/nn/kv_cache.h"

namespace isotrope {

/// What stands between the projections of a self-attention: q [B, T, H, hd], k and v [B, T, Hkv, hd], as they come from their projections
/// and already turned by their positions. With a cache the new keys and values are appended to `layer` and all of them are looked at.
/// Returns [B, T, H · hd], the input of the output projection.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options, KvCache* cache,
                  std::int64_t layer);

/// ALiBi's slopes of `heads` heads, [heads] fp32: a geometric sequence from 2^(−8/n) on where n is a power of two, else that of the power
/// below and every second one of the power above (Press et al. 2022, as BLOOM has them).
at::Tensor alibi_slopes(std::int64_t heads, at::Device device);

}  // namespace isotrope

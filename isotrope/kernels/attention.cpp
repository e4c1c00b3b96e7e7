#include "isotrope/kernels/attention.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

/// [T, S] or [B, 1, T, S] booleans, true where a query may look; undefined when it may look everywhere.
at::Tensor allowed(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  const auto queries = q.size(2), keys = k.size(2);
  at::Tensor mask;
  if (options.causal && queries > 1) mask = at::ones({queries, keys}, q.options().dtype(at::kBool)).tril_(keys - queries);
  if (options.documents.defined()) {
    if (queries != keys) throw WorkError("attention", "a document mask needs as many queries as keys, got {} and {}", queries, keys);
    const auto same = (options.documents.unsqueeze(2) == options.documents.unsqueeze(1)).unsqueeze(1);
    mask = mask.defined() ? same.logical_and(mask) : same;
  }
  return mask;
}

}  // namespace

namespace reference {

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  const auto wide = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto groups = q.size(1) / k.size(1);
  const auto keys = k.to(wide).repeat_interleave(groups, 1), values = v.to(wide).repeat_interleave(groups, 1);
  const double scale = options.scale > 0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  auto scores = at::matmul(q.to(wide), keys.transpose(2, 3)) * scale;
  if (const auto mask = allowed(q, k, options); mask.defined())
    scores = scores.masked_fill(mask.logical_not(), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), values).to(q.scalar_type());
}

}  // namespace reference

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  const bool plain_causal = options.causal && !options.documents.defined() && q.size(2) == k.size(2) && q.size(2) > 1;
  const auto mask = plain_causal ? at::Tensor() : allowed(q, k, options);
  return at::scaled_dot_product_attention(q, k, v, mask.defined() ? std::optional(mask) : std::nullopt, /*dropout_p=*/0.0, plain_causal,
                                          options.scale > 0 ? std::optional(options.scale) : std::nullopt,
                                          /*enable_gqa=*/q.size(1) != k.size(1));
}

}  // namespace isotrope

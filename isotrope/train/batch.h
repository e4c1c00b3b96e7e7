#pragma once

#include <ATen/core/Tensor.h>

#include "isotrope/data/sampler.h"

namespace isotrope {

/// Sequences for one forward and backward pass. Position i of `targets` is the token after position i of `ids`, −100 where it is not counted.
struct Batch {
  at::Tensor ids, targets;   ///< [B, T] int64
  at::Tensor documents;      ///< [B, T] int64, or undefined: one document
  std::int64_t counted = 0;  ///< targets that are not −100
};

struct CollatorOptions {
  bool document_mask = false;  ///< number the documents of each window, and do not predict a document's first token from the one before
  at::Device device = at::kCPU;
};

/// Windows [position, position + count) of the sampler as a batch.
Batch collate(const WindowSampler& sampler, const TokenFile& file, std::uint64_t position, std::int64_t count,
              const CollatorOptions& options);

}  // namespace isotrope

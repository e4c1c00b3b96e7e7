#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <span>
#include <string>

namespace isotrope {

/// Sequences for one forward and backward pass, and what an objective asks of them, under names that it alone knows.
struct Batch {
  at::Tensor ids;                              ///< [B, T] int64
  at::Tensor documents;                        ///< [B, T] int64, or undefined: one document
  at::Tensor token_types;                      ///< [B, T] int64, or undefined
  std::int64_t tokens = 0;                     ///< that the model learns from: [CLS] and [SEP] count, padding does not
  std::map<std::string, at::Tensor> tensors;   ///< of the objective: targets, places
  std::map<std::string, std::int64_t> counts;  ///< of each part of the loss, how much it predicts

  std::int64_t rows() const { return ids.size(0); }
  /// All of its tensors there.
  Batch to(at::Device device) const;
};

/// How much of each part a whole step predicts: losses are means over it, however the step is split into batches.
class StepCounts {
 public:
  explicit StepCounts(std::span<const Batch> batches);
  /// 1 / the part's count; 1 where nothing is predicted.
  double share(const std::string& part) const;

 private:
  std::map<std::string, std::int64_t> counts_;
};

}  // namespace isotrope

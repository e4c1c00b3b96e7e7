#include "isotrope/train/batch.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace isotrope {

Batch Batch::to(at::Device device) const {
  auto moved = *this;
  for (auto* tensor : {&moved.ids, &moved.documents, &moved.token_types})
    if (tensor->defined()) *tensor = tensor->to(device);
  for (auto& [name, tensor] : moved.tensors) tensor = tensor.to(device);
  return moved;
}

StepCounts::StepCounts(std::span<const Batch> batches) {
  for (const auto& batch : batches)
    for (const auto& [part, count] : batch.counts) counts_[part] += count;
}

double StepCounts::share(const std::string& part) const {
  const auto found = counts_.find(part);
  return 1.0 / static_cast<double>(found == counts_.end() ? 1 : std::max<std::int64_t>(1, found->second));
}

}  // namespace isotrope

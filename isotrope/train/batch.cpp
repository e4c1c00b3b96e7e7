#include "isotrope/train/batch.h"

#include <ATen/ATen.h>

#include "isotrope/kernels/head_loss.h"

namespace isotrope {

Batch collate(const WindowSampler& sampler, const TokenFile& file, std::uint64_t position, std::int64_t count,
              const CollatorOptions& options) {
  const auto context = static_cast<std::int64_t>(sampler.context());
  const auto tokens = at::empty({count, context + 1}, at::kLong);
  auto* rows = tokens.mutable_data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < count; ++row) sampler.copy(position + static_cast<std::uint64_t>(row), rows + row * (context + 1));
  Batch batch;
  // Copies: a single row's narrow() is contiguous as it stands, and marking its targets would change its inputs.
  batch.ids = tokens.narrow(1, 0, context).clone(at::MemoryFormat::Contiguous);
  batch.targets = tokens.narrow(1, 1, context).clone(at::MemoryFormat::Contiguous);
  batch.counted = count * context;
  if (options.document_mask) {
    const auto documents = at::empty({count, context}, at::kLong);
    auto *number = documents.mutable_data_ptr<std::int64_t>(), *target = batch.targets.mutable_data_ptr<std::int64_t>();
    for (std::int64_t row = 0; row < count; ++row) {
      const auto ids =
          file.document_ids(sampler.at(position + static_cast<std::uint64_t>(row)).begin, static_cast<std::uint64_t>(context + 1));
      for (std::int64_t i = 0; i < context; ++i) {
        number[row * context + i] = ids[i];
        if (ids[i + 1] != ids[i]) target[row * context + i] = ignored_target, --batch.counted;
      }
    }
    batch.documents = documents.to(options.device);
  }
  batch.ids = batch.ids.to(options.device);
  batch.targets = batch.targets.to(options.device);
  return batch;
}

}  // namespace isotrope

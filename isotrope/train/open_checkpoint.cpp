#include "isotrope/train/open_checkpoint.h"

#include "isotrope/base/error.h"

namespace isotrope {

at::Tensor Checkpoint::optimizer_state(std::string_view kind, const std::string& parameter) const {
  if (!optimizer) return {};
  const auto stored = [&](const char* prefix) {
    const auto* view = optimizer->find(prefix + parameter);
    return view ? tensor_of(*view) : at::Tensor();
  };
  if (kind == "second_moment") return stored("exp_avg_sq.");
  const auto momentum = stored("momentum.");
  return momentum.defined() ? momentum : stored("exp_avg.");
}

Checkpoint open_checkpoint(const fs::path& folder, const LoadOptions& options) {
  Checkpoint checkpoint{.folder = folder, .tokenizer = load_tokenizer(folder)};
  checkpoint.model = load_model(folder, options);
  const auto tokens = static_cast<std::int64_t>(checkpoint.tokenizer->vocab_size()), rows = checkpoint.model->shape().vocab_size;
  if (tokens > rows)
    throw InputError("model", "{}: the tokenizer has {} tokens, the model's vocab_size is {}", folder.string(), tokens, rows);
  if (const auto file = folder / "optimizer.safetensors"; fs::exists(file)) checkpoint.optimizer = std::make_shared<TensorFolder>(file);
  return checkpoint;
}

}  // namespace isotrope

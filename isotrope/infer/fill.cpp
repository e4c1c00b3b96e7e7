#include "isotrope/infer/fill.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "isotrope/base/error.h"

namespace isotrope {

std::vector<std::vector<Candidate>> fill_masks(Model& model, const TokenSequence& text, TokenId mask, std::int64_t count,
                                               std::int64_t vocab_size) {
  const auto& shape = model.shape();
  if (shape.causal)
    throw InputError("fill", "this model is a decoder, which does not see what follows a mask; `isotrope generate` goes on from a text");
  if (model.reads_backwards()) throw InputError("fill", "this model predicts neighbours of tokens, not masks");
  if (!model.has_head()) throw InputError("fill", "this model has no language-modelling head");
  const auto length = static_cast<std::int64_t>(text.ids.size());
  if (length > shape.max_positions) throw InputError("fill", "the text has {} tokens, the model {} positions", length, shape.max_positions);
  std::vector<std::int64_t> masks;
  for (std::int64_t i = 0; i < length; ++i)
    if (text.ids[i] == mask) masks.push_back(i);
  if (masks.empty()) throw InputError("fill", "the text has no mask");
  const at::NoGradGuard no_grad;
  const auto device = model.parameters().options().device();
  const auto row = [&](const auto& values) {
    return at::tensor(std::vector<std::int64_t>(values.begin(), values.end())).unsqueeze(0).to(device);
  };
  const auto hidden = model.forward_ids(row(text.ids), {.token_types = row(text.types)});
  auto logits = model.logits(hidden[0].index_select(0, at::tensor(masks).to(device))).to(at::kFloat).to(at::kCPU);
  if (vocab_size > 0 && vocab_size < shape.vocab_size) logits = logits.narrow(1, 0, vocab_size);
  const auto [values, ids] = at::softmax(logits, 1).topk(std::min(count, logits.size(1)), 1);
  std::vector<std::vector<Candidate>> found(masks.size());
  for (std::int64_t i = 0; i < values.size(0); ++i)
    for (std::int64_t j = 0; j < values.size(1); ++j)
      found[i].push_back({static_cast<TokenId>(ids[i][j].item<std::int64_t>()), values[i][j].item<double>()});
  return found;
}

}  // namespace isotrope

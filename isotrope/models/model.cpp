#include "isotrope/models/model.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/nn/positions.h"

namespace isotrope {

at::Tensor Model::logits(const at::Tensor& hidden) const {
  if (!has_head()) throw InputError("model", "this model has no language-modelling head");
  return head_(head_input(hidden));
}

at::Tensor Model::backward_head_input(const at::Tensor&) const { throw InputError("model", "this model does not read backwards"); }

bool Model::is_left_out(std::string_view tensor_name) const {
  return !has_head() && (tensor_name == "lm_head.weight" || tensor_name == "embed_out.weight");
}

at::Tensor Model::pair_logits(const at::Tensor&, const Dropout&) const {
  throw InputError("model", "this model has no head for pairs of texts");
}

std::string Model::copy_of(std::string_view tensor_name) const {
  const auto& embedding = parameters_.all().front();
  return tensor_name == "lm_head.weight" && has_head() && head_.weight().is_same(embedding.value) ? embedding.name : std::string();
}

at::Tensor Model::positions_of(const at::Tensor& embeddings, const ForwardContext& context) const {
  if (context.cache && !shape_.causal) throw WorkError("model", "an encoder keeps no cache: every token sees all others");
  const auto past = context.cache ? context.cache->length() : 0;
  const auto positions = context.positions.defined()
                             ? context.positions
                             : token_positions(embeddings.size(0), embeddings.size(1), past, context.documents, embeddings.device());
  // With explicit positions or documents the largest one counts; otherwise it is known without looking.
  const auto last =
      context.positions.defined() || context.documents.defined() ? positions.max().item<std::int64_t>() : past + embeddings.size(1) - 1;
  if (last >= shape_.max_positions)
    throw InputError("model", "{} tokens are more than the {} positions of this model", last + 1, shape_.max_positions);
  return positions;
}

}  // namespace isotrope

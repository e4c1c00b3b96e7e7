#include "isotrope/train/objectives/masked_objective.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/head_loss.h"

namespace isotrope {

MaskedText masked_text(const ObjectiveSetup& setup) {
  const auto& o = setup.config.objective;
  MaskedText text{.masking = {.rate = o.mask_rate, .mask_share = o.mask_share, .random_share = o.random_share}};
  if (!setup.tokenizer) {
    text.cls = text.sep = text.pad = 0;
    text.masking.special.assign(static_cast<std::size_t>(setup.model.shape().vocab_size), false);
    return text;
  }
  const auto& tokenizer = *setup.tokenizer;
  expect_same_padding(setup.model, tokenizer);
  text.cls = tokenizer.cls(), text.sep = tokenizer.sep(), text.pad = tokenizer.pad();
  text.masking.mask = required_token(tokenizer.mask(), "mask");
  bool all_special = true;
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.vocab_size()); ++id) {
    text.masking.special.push_back(tokenizer.is_special(id));
    all_special = all_special && text.masking.special.back();
    if (o.whole_words) text.masking.starts_word.push_back(tokenizer.is_word_start(id));
  }
  if (all_special) throw InputError("train", "the tokenizer has nothing but special tokens: none can be masked");
  return text;
}

TokenId required_token(std::optional<TokenId> id, std::string_view what) {
  if (!id)
    throw with_hint(InputError("train", "the tokenizer has no {} token", what),
                    "encoders are trained with a tokenizer that has [CLS], [SEP], [PAD] and [MASK]");
  return *id;
}

namespace {

std::int64_t with_room(std::int64_t window, std::int64_t context) {
  if (window < 2) throw UsageError("train", "train.context = {} leaves no room for text", context);
  return window;
}

}  // namespace

MaskedObjective::MaskedObjective(const ObjectiveSetup& setup, MaskedText text, std::int64_t window)
    : TextObjective(setup, with_room(window, setup.config.train.context)), text_(std::move(text)) {}

Batch MaskedObjective::masked_rows(const TextWindows& windows, std::uint64_t position, std::int64_t count,
                                   const std::function<void(EncoderRow&, std::int64_t, std::uint64_t)>& fill_row) const {
  Batch batch{.ids = filled(count, context_, text_.pad.value_or(0)),
              .documents = filled(count, context_, padding_document),
              .token_types = filled(count, context_, 0)};
  const auto targets = filled(count, context_, ignored_target);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto place = position + static_cast<std::uint64_t>(i);
    EncoderRow row{row_of(batch.ids, i), row_of(batch.token_types, i), row_of(batch.documents, i)};
    fill_row(row, i, place);
    RandomStream random(windows.sampler.seed(), "mask", place);
    const auto length = static_cast<std::size_t>(row.length);
    mask_tokens({row.ids, length}, {row_of(targets, i), length}, text_.masking, random);
    batch.tokens += row.length;
  }
  if (!document_mask_ && batch.tokens == count * context_) batch.documents = at::Tensor();  // nothing is padded
  const auto places = (targets.flatten() != ignored_target).nonzero().squeeze(1);
  batch.tensors["places"] = places;
  batch.tensors["targets"] = targets.flatten().index_select(0, places);
  batch.counts["token"] = places.numel();
  return batch;
}

at::Tensor MaskedObjective::masked_loss(const Model& model, const at::Tensor& hidden, const Batch& batch, const StepCounts& counts,
                                        Measures& measures) const {
  const auto head_input = [&] { return model.head_input(hidden.flatten(0, 1).index_select(0, batch.tensors.at("places"))); };
  return token_loss(model, head_input, batch, "token", batch.tensors.at("targets"), counts, measures);
}

std::vector<std::string> masking_keys() {
  return {"objective.mask_rate", "objective.mask_share", "objective.random_share", "objective.whole_words"};
}

}  // namespace isotrope

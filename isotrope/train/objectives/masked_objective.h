#pragma once

#include "isotrope/data/masking.h"
#include "isotrope/train/objectives/encoder_rows.h"
#include "isotrope/train/objectives/text_objective.h"

namespace isotrope {

/// What a masked-language model's rows need of the tokenizer; ids without meaning where there is none.
struct MaskedText {
  MaskingOptions masking;
  std::optional<TokenId> cls, sep, pad;  ///< around and between segments, where the tokenizer has them
};

/// Throws InputError for a tokenizer without a mask, or of special tokens alone, or whose padding is not the model's.
MaskedText masked_text(const ObjectiveSetup& setup);

/// InputError where the tokenizer has no such token.
TokenId required_token(std::optional<TokenId> id, std::string_view what);

/// What mlm and mlm_nsp share: rows whose tokens are hidden anew whenever they come, and the loss on those (Devlin et al. 2019).
/// Tensors: `places` [N] in the flattened ids, and their `targets`; count `token`.
class MaskedObjective : public TextObjective {
 public:
  double head_share() const override { return text_.masking.rate; }

 protected:
  MaskedObjective(const ObjectiveSetup& setup, MaskedText text, std::int64_t window);

  /// Rows that fill_row(row, place) puts text into; its places beyond the length are padding.
  Batch masked_rows(const TextWindows& windows, std::uint64_t position, std::int64_t count,
                    const std::function<void(EncoderRow& row, std::int64_t index, std::uint64_t place)>& fill_row) const;
  at::Tensor masked_loss(const Model& model, const at::Tensor& hidden, const Batch& batch, const StepCounts& counts,
                         Measures& measures) const;

  MaskedText text_;
};

/// The keys of `[objective]` that decide about masks.
std::vector<std::string> masking_keys();

}  // namespace isotrope

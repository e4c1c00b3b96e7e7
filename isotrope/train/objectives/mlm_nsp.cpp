// Hidden tokens of two segments, and whether the second follows the first in its document: next-sentence prediction (Devlin et al. 2019,
// arXiv 1810.04805).
#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/data/text_pairs.h"
#include "isotrope/train/objectives/masked_objective.h"

namespace isotrope {

namespace {

class MlmNspObjective final : public MaskedObjective {
 public:
  explicit MlmNspObjective(const ObjectiveSetup& setup) : MaskedObjective(setup, masked_text(setup), setup.config.train.context - 3) {
    cls_ = required_token(text_.cls, "[CLS]"), sep_ = required_token(text_.sep, "[SEP]"), required_token(text_.pad, "[PAD]");
    if (document_mask_) throw UsageError("train", "data.document_mask has no effect with mlm_nsp: each row is one pair of segments");
    expect_pairs(training().file);
    if (validation()) expect_pairs(validation()->file);
  }
  std::string name() const override { return "mlm_nsp"; }

  at::Tensor loss(Model& model, const Batch& batch, const StepCounts& counts, const ForwardContext& context,
                  Measures& measures) const override {
    const auto hidden = model.forward_ids(batch.ids, context);
    const auto tokens = masked_loss(model, hidden, batch, counts, measures);
    const auto& targets = batch.tensors.at("pair_targets");
    const auto logits = model.pair_logits(hidden.select(1, 0), context.dropout).to(at::kFloat);
    const auto nll = at::cross_entropy_loss(logits, targets, {}, at::Reduction::Sum);
    measures.add("pair", nll.item<double>(), (logits.argmax(1) == targets).sum().item<double>(), targets.numel());
    return sum_of(tokens, counts.share("pair") * nll);
  }

 private:
  Batch rows(const TextWindows& windows, std::uint64_t position, std::int64_t count) const override {
    const auto targets = at::empty({count}, at::kLong);  // 0: the second segment follows the first
    auto batch = masked_rows(windows, position, count, [&](EncoderRow& row, std::int64_t index, std::uint64_t place) {
      targets.mutable_data_ptr<std::int64_t>()[index] = fill(row, windows, place);
    });
    batch.tensors["pair_targets"] = targets, batch.counts["pair"] = count;
    return batch;
  }

  /// Returns 1 where the second segment is a random one.
  std::int64_t fill(EncoderRow& row, const TextWindows& windows, std::uint64_t place) const {
    RandomStream random(windows.sampler.seed(), "pairs", place);
    const auto pair = draw_pair(windows.file, windows.sampler.at(place).begin, windows.sampler.context(), random);
    row.add(cls_, 0, 0);
    for (const auto id : pair.first) row.add(id, 0, 0);
    row.add(sep_, 0, 0);
    for (const auto id : pair.second) row.add(id, 1, 0);
    row.add(sep_, 1, 0);
    return pair.random ? 1 : 0;
  }

  TokenId cls_, sep_;
};

const ObjectiveKind mlm_nsp_objective{
    "mlm_nsp", masking_keys(), [](const Model& model) { return model.has_pair_head(); },
    [](const Model& model) -> std::string {
      return model.has_pair_head() ? "" : "this architecture has no head for pairs (BertForPreTraining and AlbertForPreTraining do)";
    },
    [](const ObjectiveSetup& setup) -> std::unique_ptr<Objective> { return std::make_unique<MlmNspObjective>(setup); }};

}  // namespace
}  // namespace isotrope

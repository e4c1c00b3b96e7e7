// Masked language modelling: tokens that have been hidden (Devlin et al. 2019, arXiv 1810.04805). A row is one text.
#include <ATen/ATen.h>

#include "isotrope/train/objectives/masked_objective.h"

namespace isotrope {

namespace {

class MlmObjective final : public MaskedObjective {
 public:
  MlmObjective(const ObjectiveSetup& setup, const MaskedText& text)
      : MaskedObjective(setup, text, setup.config.train.context - (text.cls ? 1 : 0) - (text.sep ? 1 : 0)) {}
  std::string name() const override { return "mlm"; }

  at::Tensor loss(Model& model, const Batch& batch, const StepCounts& counts, const ForwardContext& context,
                  Measures& measures) const override {
    return masked_loss(model, model.forward_ids(batch.ids, context), batch, counts, measures);
  }

 private:
  Batch rows(const TextWindows& windows, std::uint64_t position, std::int64_t count) const override {
    auto batch =
        masked_rows(windows, position, count, [&](EncoderRow& row, std::int64_t, std::uint64_t place) { fill(row, windows, place); });
    batch.token_types = at::Tensor();
    return batch;
  }

  void fill(EncoderRow& row, const TextWindows& windows, std::uint64_t place) const {
    const auto count = windows.sampler.context();
    std::vector<std::int64_t> text(count);
    const auto begin = windows.sampler.at(place).begin;
    windows.file.copy(begin, count, text.data());
    const auto documents = document_mask_ ? windows.file.document_ids(begin, count) : std::vector<std::int32_t>(count, 0);
    if (text_.cls) row.add(*text_.cls, 0, 0);
    for (std::size_t i = 0; i < count; ++i) row.add(text[i], 0, documents[i]);
    if (text_.sep) row.add(*text_.sep, 0, documents.back());
  }
};

const ObjectiveKind mlm_objective{
    "mlm", masking_keys(),
    [](const Model& model) { return !model.shape().causal && !model.reads_backwards() && !model.has_pair_head() && model.has_head(); },
    [](const Model& model) -> std::string {
      if (model.shape().causal || model.reads_backwards()) return "only an encoder sees both sides of a hidden token";
      return model.has_head() ? "" : "the model has no language-modelling head";
    },
    [](const ObjectiveSetup& setup) -> std::unique_ptr<Objective> { return std::make_unique<MlmObjective>(setup, masked_text(setup)); }};

}  // namespace
}  // namespace isotrope

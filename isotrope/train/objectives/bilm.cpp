// The next token and the one before, from either side (Peters et al. 2018, arXiv 1802.05365).
#include <ATen/ATen.h>

#include "isotrope/train/objectives/text_objective.h"

namespace isotrope {

namespace {

class BiLmObjective final : public TextObjective {
 public:
  explicit BiLmObjective(const ObjectiveSetup& setup) : TextObjective(setup, setup.config.train.context) {}
  std::string name() const override { return "bilm"; }
  double head_share() const override { return 2; }

  at::Tensor loss(Model& model, const Batch& batch, const StepCounts& counts, const ForwardContext& context,
                  Measures& measures) const override {
    const auto hidden = model.forward_ids(batch.ids, context).flatten(0, 1);
    const auto next = token_loss(
        model, [&] { return model.head_input(hidden); }, batch, "token", batch.tensors.at("targets").flatten(), counts, measures);
    const auto before = token_loss(
        model, [&] { return model.backward_head_input(hidden); }, batch, "backward", batch.tensors.at("backward_targets").flatten(), counts,
        measures);
    return sum_of(next, before);
  }

 private:
  Batch rows(const TextWindows& windows, std::uint64_t position, std::int64_t count) const override {
    return neighbour_rows(windows, position, count, context_, document_mask_, /*backwards=*/true);
  }
};

const ObjectiveKind bilm_objective{
    "bilm",
    {},
    [](const Model& model) { return model.reads_backwards(); },
    [](const Model& model) -> std::string {
      return model.reads_backwards() ? "" : "only a model that reads from both sides apart (ELMo) can predict both neighbours";
    },
    [](const ObjectiveSetup& setup) -> std::unique_ptr<Objective> { return std::make_unique<BiLmObjective>(setup); }};

}  // namespace
}  // namespace isotrope

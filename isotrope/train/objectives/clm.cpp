// Causal language modelling: the next token.
#include <ATen/ATen.h>

#include "isotrope/eval/perplexity.h"
#include "isotrope/train/objectives/text_objective.h"

namespace isotrope {

namespace {

class CausalObjective final : public TextObjective {
 public:
  explicit CausalObjective(const ObjectiveSetup& setup)
      : TextObjective(setup, setup.config.train.context, /*evaluates_windows=*/false),
        byte_counts_(setup.tokenizer ? token_byte_counts(*setup.tokenizer)
                                     : std::vector<std::int32_t>(static_cast<std::size_t>(setup.model.shape().vocab_size), 1)) {
    if (validation_path().empty()) return;
    validation_file_.emplace(validation_path());
    if (setup.tokenizer) validation_file_->expect_tokenizer(*setup.tokenizer);
  }
  std::string name() const override { return "clm"; }
  double head_share() const override { return 1; }

  at::Tensor loss(Model& model, const Batch& batch, const StepCounts& counts, const ForwardContext& context,
                  Measures& measures) const override {
    const auto hidden = model.forward_ids(batch.ids, context).flatten(0, 1);
    return token_loss(
        model, [&] { return model.head_input(hidden); }, batch, "token", batch.tensors.at("targets").flatten(), counts, measures);
  }

  /// Of the whole file, in order, in units that tokenizers share.
  void evaluate(Model& model, const std::function<bool()>& stop_requested, Measures& measures) const override {
    const auto score = score_text(model, token_text(*validation_file_, document_mask_), byte_counts_,
                                  {.context = context_ + 1,
                                   .stride = context_,
                                   .batch_size = evaluation_batch_,
                                   .max_windows = evaluation_rows_,
                                   .stop_requested = stop_requested});
    measures.add("token", score.nll_sum, score.correct, score.tokens);
    measures.set("bits_per_byte", score.bits_per_byte(), "bits per byte");
    measures.set("perplexity", score.perplexity());
    measures.set("tokens", score.tokens);
    measures.set("bytes", score.bytes);
  }

 private:
  Batch rows(const TextWindows& windows, std::uint64_t position, std::int64_t count) const override {
    return neighbour_rows(windows, position, count, context_, document_mask_, /*backwards=*/false);
  }

  std::vector<std::int32_t> byte_counts_;  // of each id
  std::optional<TokenFile> validation_file_;
};

const ObjectiveKind clm_objective{
    "clm",
    {},
    [](const Model& model) { return model.shape().causal && model.has_head(); },
    [](const Model& model) -> std::string {
      if (!model.shape().causal) return "this model's tokens see those after them; only a decoder can predict the next one";
      return model.has_head() ? "" : "the model has no language-modelling head";
    },
    [](const ObjectiveSetup& setup) -> std::unique_ptr<Objective> { return std::make_unique<CausalObjective>(setup); }};

}  // namespace
}  // namespace isotrope

#include "isotrope/train/objective.h"

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

/// What an architecture is made for.
Objective own_objective(const Model& model) {
  if (model.shape().causal) return Objective::clm;
  if (model.reads_backwards()) return Objective::bilm;
  return model.has_pair_head() ? Objective::mlm_nsp : Objective::mlm;
}

}  // namespace

Objective objective_of(const Model& model, const std::string& name) {
  const auto refuse = [&](std::string_view why) { throw UsageError("train", "objective.name = {}: {}", name, why); };
  const auto own = own_objective(model);
  if (!model.has_head())
    throw with_hint(InputError("train", "the model has no language-modelling head to train"),
                    "name an architecture with one in config.json: BertForMaskedLM, BertForPreTraining, …");
  if (name == "auto") return own;
  auto asked = own;
  for (const auto objective : {Objective::clm, Objective::mlm, Objective::mlm_nsp, Objective::bilm})
    if (objective_name(objective) == name) asked = objective;
  const bool encoder = own == Objective::mlm || own == Objective::mlm_nsp;
  if (asked == Objective::clm && own != asked) refuse("this model's tokens see those after them; only a decoder can predict the next one");
  if (asked == Objective::bilm && own != asked) refuse("only a model that reads from both sides apart (ELMo) can predict both neighbours");
  if (asked == Objective::mlm && !encoder) refuse("only an encoder sees both sides of a hidden token");
  if (asked == Objective::mlm_nsp && own != asked)
    refuse("this architecture has no head for pairs (BertForPreTraining and AlbertForPreTraining do)");
  return asked;
}

namespace {

TokenId required(std::optional<TokenId> id, std::string_view what) {
  if (!id)
    throw with_hint(InputError("train", "the tokenizer has no {} token", what),
                    "encoders are trained with a tokenizer that has [CLS], [SEP], [PAD] and [MASK]");
  return *id;
}

MaskingOptions masking_of(const Tokenizer& tokenizer, const RunConfig& config) {
  const auto& o = config.objective;
  MaskingOptions masking{
      .rate = o.mask_rate, .mask_share = o.mask_share, .random_share = o.random_share, .mask = required(tokenizer.mask(), "mask")};
  const auto size = static_cast<TokenId>(tokenizer.vocab_size());
  bool all_special = true;
  for (TokenId id = 0; id < size; ++id) {
    masking.special.push_back(tokenizer.is_special(id));
    all_special = all_special && masking.special.back();
    if (o.whole_words) masking.starts_word.push_back(tokenizer.is_word_start(id));
  }
  if (all_special) throw InputError("train", "the tokenizer has nothing but special tokens: none can be masked");
  return masking;
}

/// transformers finds RoBERTa's positions by it, and leaves padding out of its embedding.
void expect_same_padding(const Model& model, const Tokenizer& tokenizer) {
  const auto found = model.config().find("pad_token_id");
  if (found == model.config().end() || !found->is_number_integer() || !tokenizer.pad() || *found == *tokenizer.pad()) return;
  throw InputError("train", "config.json: pad_token_id = {}, but the tokenizer's padding is {}", found->dump(), *tokenizer.pad());
}

}  // namespace

CollatorOptions collation_for(const Model& model, const Tokenizer& tokenizer, const RunConfig& config) {
  CollatorOptions options{.objective = objective_of(model, config.objective.name),
                          .context = config.train.context,
                          .document_mask = config.data.document_mask,
                          .device = model.parameters().options().device()};
  if (options.objective != Objective::clm && config.observe.samples > 0)
    throw UsageError("train", "observe.samples = {}: this model writes no text; 0 leaves samples out", config.observe.samples);
  const bool pairs = options.objective == Objective::mlm_nsp;
  if (options.objective != Objective::mlm && !pairs) {
    const RunConfig defaults;
    const auto &o = config.objective, &d = defaults.objective;
    if (o.mask_rate != d.mask_rate || o.mask_share != d.mask_share || o.random_share != d.random_share || o.whole_words)
      throw UsageError(
          "train", "objective.mask_rate, mask_share, random_share and whole_words have no effect here: this model is not trained on masks");
    return options;
  }
  expect_same_padding(model, tokenizer);
  options.masking = masking_of(tokenizer, config);
  options.cls = tokenizer.cls(), options.sep = tokenizer.sep(), options.pad = tokenizer.pad();
  if (pairs) required(options.cls, "[CLS]"), required(options.sep, "[SEP]"), required(options.pad, "[PAD]");
  if (pairs && options.document_mask)
    throw UsageError("train", "data.document_mask has no effect with mlm_nsp: each row is one pair of segments");
  if (text_tokens(options) < 2) throw UsageError("train", "train.context = {} leaves no room for text", options.context);
  return options;
}

}  // namespace isotrope

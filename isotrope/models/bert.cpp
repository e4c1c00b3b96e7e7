// BERT: masked-language and next-sentence heads, each where the architecture has it. Source: Devlin et al. 2019 (arXiv 1810.04805); names
// as in transformers' BertForPreTraining. Sentence encoders (MiniLM) are BertModel.
#include <ATen/ATen.h>

#include "isotrope/models/bert_like.h"
#include "isotrope/models/task_head.h"

namespace isotrope {
namespace {

BertLikeNames bert_names() {
  auto names = bert_names_under("bert.");
  names.head_dense = "cls.predictions.transform.dense";
  names.head_norm = "cls.predictions.transform.LayerNorm";
  names.head_bias = "cls.predictions.bias";
  names.decoder = "cls.predictions.decoder";
  names.pair_head = "cls.seq_relationship";
  return names;
}

std::unique_ptr<Model> make_bert(ConfigFields& fields, const ModelOptions& options) {
  auto c = read_bert_like(
      fields, {.hidden_size = 768, .num_hidden_layers = 12, .num_attention_heads = 12, .intermediate_size = 3072, .vocab_size = 30522});
  c.activation = activation_from_name(fields.text("hidden_act", "gelu"), fields.name());
  const auto architecture = fields.architecture("BertModel");
  c.pair_head = architecture == "BertForPreTraining";
  c.language_head = c.pair_head || architecture == "BertForMaskedLM";
  c.pooler = c.pair_head || architecture == "BertModel";
  fields.inert({"classifier_dropout", "gradient_checkpointing"});
  auto model = make_bert_like(fields, options, c, bert_names());
  if (fields.classifies_sequences())
    add_task_head(*model, fields,
                  {.dense = "bert.pooler.dense",
                   .classifier = "classifier",
                   .std = c.initializer_range,
                   .activation = at::tanh,
                   .classifier_dropout = fields.rate("classifier_dropout", c.embedding_dropout)});
  return model;
}

const Family bert_family{"bert", {"BertForPreTraining", "BertForMaskedLM", "BertForSequenceClassification", "BertModel"}, make_bert};

}  // namespace
}  // namespace isotrope

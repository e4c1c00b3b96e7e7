// RoBERTa: BERT whose positions begin behind the padding's row, without a pair head. Source: Liu et al. 2019 (arXiv 1907.11692); names as
// in transformers' RobertaForMaskedLM.
#include <ATen/ATen.h>

#include "isotrope/models/bert_like.h"
#include "isotrope/models/task_head.h"

namespace isotrope {
namespace {

BertLikeNames roberta_names() {
  auto names = bert_names_under("roberta.");
  names.head_dense = "lm_head.dense";
  names.head_norm = "lm_head.layer_norm";
  names.head_bias = "lm_head.bias";
  names.decoder = "lm_head.decoder";
  return names;
}

std::unique_ptr<Model> make_roberta(ConfigFields& fields, const ModelOptions& options) {
  auto c = read_bert_like(
      fields, {.hidden_size = 768, .num_hidden_layers = 12, .num_attention_heads = 12, .intermediate_size = 3072, .vocab_size = 50265});
  c.activation = activation_from_name(fields.text("hidden_act", "gelu"), fields.name());
  c.first_position = fields.integer("pad_token_id", 1, 0) + 1;
  const auto architecture = fields.architecture("RobertaModel");
  c.language_head = architecture == "RobertaForMaskedLM";
  c.pooler = architecture == "RobertaModel";
  fields.inert({"classifier_dropout", "gradient_checkpointing"});
  auto model = make_bert_like(fields, options, c, roberta_names());
  if (!fields.classifies_sequences()) return model;
  const auto dropout = fields.rate("classifier_dropout", c.embedding_dropout);
  add_task_head(*model, fields,
                {.dense = "classifier.dense",
                 .classifier = "classifier.out_proj",
                 .std = c.initializer_range,
                 .activation = at::tanh,
                 .dense_dropout = dropout,
                 .classifier_dropout = dropout});
  return model;
}

const Family roberta_family{"roberta", {"RobertaForMaskedLM", "RobertaForSequenceClassification", "RobertaModel"}, make_roberta};

}  // namespace
}  // namespace isotrope

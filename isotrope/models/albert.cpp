// ALBERT: BERT with one block's weights for all layers (or for groups of them), a narrow embedding projected to the blocks' width, and a
// head for the order of two texts. Source: Lan et al. 2020 (arXiv 1909.11942); names as in transformers' AlbertForPreTraining.
#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/models/bert_like.h"
#include "isotrope/models/task_head.h"

namespace isotrope {
namespace {

BertLikeNames albert_names(std::int64_t layers, std::int64_t groups, std::int64_t inner) {
  return {.prefix = "albert.",
          .words = "embeddings.word_embeddings.weight",
          .positions = "embeddings.position_embeddings.weight",
          .types = "embeddings.token_type_embeddings.weight",
          .norm = "embeddings.LayerNorm",
          .embedding_projection = "encoder.embedding_hidden_mapping_in",
          .block =
              [=](std::int64_t block) {
                // In floating point, as transformers counts: the two differ in a few shapes.
                const auto group = static_cast<std::int64_t>(static_cast<double>(block / inner) /
                                                             (static_cast<double>(layers) / static_cast<double>(groups)));
                const auto name =
                    "albert.encoder.albert_layer_groups." + std::to_string(group) + ".albert_layers." + std::to_string(block % inner) + ".";
                return BertLikeNames::Block{name + "attention.query", name + "attention.key",        name + "attention.value",
                                            name + "attention.dense", name + "attention.LayerNorm",  name + "ffn",
                                            name + "ffn_output",      name + "full_layer_layer_norm"};
              },
          .pooler = "pooler",
          .head_dense = "predictions.dense",
          .head_norm = "predictions.LayerNorm",
          .head_bias = "predictions.bias",
          .decoder = "predictions.decoder",
          .pair_head = "sop_classifier.classifier"};
}

std::unique_ptr<Model> make_albert(ConfigFields& fields, const ModelOptions& options) {
  auto c = read_bert_like(
      fields, {.hidden_size = 4096, .num_hidden_layers = 12, .num_attention_heads = 64, .intermediate_size = 16384, .vocab_size = 30000});
  c.embedding_size = fields.integer("embedding_size", 128);
  c.activation = activation_from_name(fields.text("hidden_act", "gelu_new"), fields.name());
  // This family's rates are zero where config.json is silent, and the MLP has none.
  c.embedding_dropout = c.attention_output_dropout = fields.rate("hidden_dropout_prob", 0);
  c.attention_dropout = fields.rate("attention_probs_dropout_prob", 0);
  c.mlp_output_dropout = 0;
  c.pair_dropout = fields.rate("classifier_dropout_prob", 0.1);
  const auto groups = fields.integer("num_hidden_groups", 1), inner = fields.integer("inner_group_num", 1, 1, 1000),
             layers = c.num_hidden_layers;
  if (layers > 0 && groups > layers)
    throw InputError("model", "{}: num_hidden_groups = {} is more than num_hidden_layers = {}", fields.name(), groups, layers);
  c.num_hidden_layers *= inner;
  const auto architecture = fields.architecture("AlbertModel");
  c.pair_head = architecture == "AlbertForPreTraining";
  c.language_head = c.pair_head || architecture == "AlbertForMaskedLM";
  c.pooler = c.pair_head || architecture == "AlbertModel";
  fields.inert({"down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks"});
  auto model = make_bert_like(fields, options, c, albert_names(layers, groups, inner));
  if (fields.classifies_sequences())
    add_task_head(*model, fields,
                  {.dense = "albert.pooler",
                   .classifier = "classifier",
                   .std = c.initializer_range,
                   .activation = at::tanh,
                   .classifier_dropout = c.pair_dropout});
  return model;
}

const Family albert_family{
    "albert", {"AlbertForPreTraining", "AlbertForMaskedLM", "AlbertForSequenceClassification", "AlbertModel"}, make_albert};

}  // namespace
}  // namespace isotrope

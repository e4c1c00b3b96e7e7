// DistilBERT: BERT without token types and pooler. Source: Sanh et al. 2019 (arXiv 1910.01108); names as in transformers'
// DistilBertForMaskedLM.
#include <ATen/ATen.h>

#include "isotrope/models/bert_like.h"
#include "isotrope/models/task_head.h"

namespace isotrope {
namespace {

BertLikeNames distilbert_names() {
  return {.prefix = "distilbert.",
          .words = "embeddings.word_embeddings.weight",
          .positions = "embeddings.position_embeddings.weight",
          .types = "",
          .norm = "embeddings.LayerNorm",
          .embedding_projection = "",
          .block =
              [](std::int64_t layer) {
                const auto name = "distilbert.transformer.layer." + std::to_string(layer) + ".";
                return BertLikeNames::Block{name + "attention.q_lin",   name + "attention.k_lin",  name + "attention.v_lin",
                                            name + "attention.out_lin", name + "sa_layer_norm",    name + "ffn.lin1",
                                            name + "ffn.lin2",          name + "output_layer_norm"};
              },
          .pooler = "",
          .head_dense = "vocab_transform",
          .head_norm = "vocab_layer_norm",
          .head_bias = "vocab_projector.bias",
          .decoder = "vocab_projector",
          .pair_head = ""};
}

std::unique_ptr<Model> make_distilbert(ConfigFields& fields, const ModelOptions& options) {
  BertLikeConfig c{};
  c.hidden_size = c.embedding_size = fields.integer(fields.either("dim", "hidden_size"), 768);
  c.num_hidden_layers = fields.layers(fields.either("n_layers", "num_hidden_layers"), 6);
  c.num_attention_heads = fields.integer(fields.either("n_heads", "num_attention_heads"), 12);
  fields.divided("dim", c.hidden_size, "n_heads", c.num_attention_heads);
  c.intermediate_size = fields.integer("hidden_dim", 3072);
  c.vocab_size = fields.integer("vocab_size", 30522);
  c.position_rows = fields.integer("max_position_embeddings", 512);
  c.initializer_range = fields.number("initializer_range", 0.02);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", true);
  c.activation = activation_from_name(fields.text("activation", "gelu"), fields.name());
  c.embedding_dropout = c.mlp_output_dropout = fields.rate("dropout", 0.1);
  c.attention_dropout = fields.rate("attention_dropout", 0.1);
  c.language_head = fields.architecture("DistilBertModel") == "DistilBertForMaskedLM";
  c.sinusoidal_positions = fields.boolean("sinusoidal_pos_embds", false);
  fields.inert({"qa_dropout", "seq_classif_dropout", "tie_weights_"});
  auto model = make_bert_like(fields, options, c, distilbert_names());
  if (fields.classifies_sequences())
    add_task_head(*model, fields,
                  {.dense = "pre_classifier",
                   .classifier = "classifier",
                   .std = c.initializer_range,
                   .activation = at::relu,
                   .classifier_dropout = fields.rate("seq_classif_dropout", 0.2)});
  return model;
}

const Family distilbert_family{
    "distilbert", {"DistilBertForMaskedLM", "DistilBertForSequenceClassification", "DistilBertModel"}, make_distilbert};

}  // namespace
}  // namespace isotrope

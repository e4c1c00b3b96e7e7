#pragma once

#include <functional>
#include <string>
#include <vector>

#include "isotrope/models/registry.h"
#include "isotrope/nn/layers.h"

namespace isotrope {

/// A head that says something of a whole text: parameters that are added to a model, named as transformers names them.
/// logits = classifier(drop(norm(activation(dense(drop(pooled)))))), where the family has these; pooled is the first token's hidden state,
/// the mean of all or the last one's.
struct TaskHead {
  enum class Pooling { first, mean, last } pooling = Pooling::first;
  std::int64_t labels = 2;
  std::vector<std::string> label_names;  ///< id2label; LABEL_0 … where config.json does not say
  std::string problem_type;              ///< as config.json says it; empty: not said
  Linear dense, classifier;
  std::function<at::Tensor(const at::Tensor&)> activation;
  LayerNorm norm;
  double dense_dropout = 0, classifier_dropout = 0;

  /// Logits [B, labels] of hidden [B, T, d]. `real` [B, T] int64: 1 where a token counts, 0 for padding; undefined: all do.
  at::Tensor operator()(const at::Tensor& hidden, const at::Tensor& real = {}, const Dropout& dropout = {}) const;
};

/// How a family's head for texts is made. Empty names: it has no such part.
struct TaskHeadLayout {
  TaskHead::Pooling pooling = TaskHead::Pooling::first;
  std::string dense, norm, classifier;
  bool dense_bias = true, norm_bias = true, classifier_bias = true;
  std::int64_t width = 0;  ///< of the hidden states; 0: the model's
  double norm_eps = 1e-5, std = 0.02;
  std::function<at::Tensor(const at::Tensor&)> activation = {};
  double dense_dropout = 0, classifier_dropout = 0;
};

/// Puts the head onto a model that has none, for as many labels as id2label (or num_labels; 2 where neither is there) says.
/// Throws InputError for labels that contradict each other.
void add_task_head(Model& model, ConfigFields& fields, const TaskHeadLayout& layout);

/// A decoder's, which reads the last token: `score.weight`, where the architecture classifies sequences; else nothing.
std::unique_ptr<Model> with_score_head(std::unique_ptr<Model> model, ConfigFields& fields, std::int64_t width = 0);

}  // namespace isotrope

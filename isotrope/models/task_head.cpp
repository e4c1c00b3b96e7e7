#include "isotrope/models/task_head.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

at::Tensor pooled(const at::Tensor& hidden, TaskHead::Pooling pooling, const at::Tensor& real) {
  if (pooling == TaskHead::Pooling::first) return hidden.select(1, 0);
  if (pooling == TaskHead::Pooling::mean) {
    if (!real.defined()) return hidden.mean(1);
    return (hidden * real.unsqueeze(2)).sum(1) / real.sum(1, /*keepdim=*/true);
  }
  if (!real.defined()) return hidden.select(1, -1);
  const auto last = (real * at::arange(real.size(1), real.options())).argmax(1);
  return hidden.gather(1, last.view({-1, 1, 1}).expand({-1, 1, hidden.size(2)})).squeeze(1);
}

/// Names of the labels by their numbers, as config.json has them.
std::vector<std::string> read_labels(const ConfigFields& fields) {
  const auto& config = fields.json();
  const JsonReader reader(config, "model", fields.name());
  const auto told = reader.get_int("num_labels", 0);
  constexpr std::int64_t most = 1 << 20;
  if (told < 0 || told > most) throw InputError("model", "{}: num_labels = {} is out of range", fields.name(), told);
  std::vector<std::string> names;
  if (!reader.has("id2label")) {
    for (std::int64_t i = 0; i < (told > 0 ? told : 2); ++i) names.push_back("LABEL_" + std::to_string(i));
    return names;
  }
  const auto& labels = config["id2label"];
  for (std::size_t i = 0; labels.is_object() && i < labels.size(); ++i) {
    const auto found = labels.find(std::to_string(i));
    if (found != labels.end() && found->is_string()) names.push_back(found->get<std::string>());
  }
  if (names.empty() || names.size() != labels.size())
    throw InputError("model", "{}: id2label: expected the names of labels 0, 1 …, got {}", fields.name(), labels.dump());
  if (told > 0 && told != static_cast<std::int64_t>(names.size()))
    throw InputError("model", "{}: num_labels = {}, but id2label names {}", fields.name(), told, names.size());
  return names;
}

}  // namespace

at::Tensor TaskHead::operator()(const at::Tensor& hidden, const at::Tensor& real, const Dropout& dropout) const {
  auto x = dropout(pooled(hidden, pooling, real), dense_dropout);
  if (dense.defined()) x = dense(x);
  if (activation) x = activation(x);
  if (norm.gain.defined()) x = norm(x);
  return classifier(dropout(x, classifier_dropout));
}

void add_task_head(Model& model, ConfigFields& fields, const TaskHeadLayout& layout) {
  auto& parameters = model.parameters();
  const auto width = layout.width > 0 ? layout.width : model.shape().width;
  auto head = std::make_shared<TaskHead>();
  fields.inert({"num_labels"});
  head->pooling = layout.pooling;
  head->label_names = read_labels(fields);
  head->labels = static_cast<std::int64_t>(head->label_names.size());
  head->problem_type = fields.text("problem_type", "");
  head->activation = layout.activation;
  head->dense_dropout = layout.dense_dropout, head->classifier_dropout = layout.classifier_dropout;
  if (!layout.dense.empty())
    head->dense = add_linear(parameters, layout.dense, width, width, {.bias = layout.dense_bias, .std = layout.std});
  if (!layout.norm.empty()) head->norm = add_layer_norm(parameters, layout.norm, width, layout.norm_eps, layout.norm_bias);
  head->classifier = add_linear(parameters, layout.classifier, width, head->labels, {.bias = layout.classifier_bias, .std = layout.std});
  for (auto& parameter : parameters.all())
    if (parameter.name == layout.classifier + ".weight") parameter.kind = ParameterClass::head;
  model.task_head_ = std::move(head);
}

std::unique_ptr<Model> with_score_head(std::unique_ptr<Model> model, ConfigFields& fields, std::int64_t width) {
  if (fields.classifies_sequences())
    add_task_head(*model, fields,
                  {.pooling = TaskHead::Pooling::last,
                   .classifier = "score",
                   .classifier_bias = false,
                   .width = width,
                   .std = fields.number("initializer_range", 0.02)});
  return model;
}

}  // namespace isotrope

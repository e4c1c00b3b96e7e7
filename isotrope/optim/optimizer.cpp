#include "isotrope/optim/optimizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/base/glob.h"

namespace isotrope {

namespace {

std::vector<const RuleKind*>& registry() {
  static std::vector<const RuleKind*> kinds;
  return kinds;
}

bool is_of(const Assignment& assignment, const Parameter& parameter) {
  return assignment.classes.empty() || std::ranges::find(assignment.classes, parameter.kind) != assignment.classes.end();
}

bool matches(const Assignment& assignment, const Parameter& parameter, const OptimizerConfig& config) {
  if (!is_of(assignment, parameter)) return false;
  const auto& patterns = assignment.patterns;
  if (!patterns.empty() && std::ranges::none_of(patterns, [&](const auto& pattern) { return glob_matches(pattern, parameter.name); }))
    return false;
  return rule_kind(assignment.rule).serves(parameter, config);
}

/// The number of each parameter's assignment. A pattern that no parameter has is a mistake, and refused.
std::vector<std::size_t> groups_of(const Parameters& parameters, const std::vector<Assignment>& assignments,
                                   const OptimizerConfig& config) {
  for (const auto& assignment : assignments)
    for (const auto& pattern : assignment.patterns)
      if (std::ranges::none_of(parameters.all(), [&](const auto& p) { return is_of(assignment, p) && glob_matches(pattern, p.name); }))
        throw with_hint(UsageError("optim", "optimizer.adamw_matrices: no matrix has a name like \"{}\"", pattern),
                        "without this pattern, isotrope plan lists the names that each rule serves");
  std::vector<std::size_t> groups;
  for (const auto& parameter : parameters.all()) {
    const auto found = std::ranges::find_if(assignments, [&](const auto& one) { return matches(one, parameter, config); });
    if (found == assignments.end() && parameter.trains) throw UsageError("optim", "no update rule serves {}", parameter.name);
    groups.push_back(found == assignments.end() ? 0 : static_cast<std::size_t>(found - assignments.begin()));
  }
  return groups;
}

}  // namespace

RuleKind::RuleKind(std::string name_, decltype(make) make_, decltype(serves) serves_)
    : name(std::move(name_)), make(make_), serves(serves_) {
  registry().push_back(this);
}

const RuleKind& rule_kind(const std::string& name) {
  for (const auto* kind : registry())
    if (kind->name == name) return *kind;
  throw UsageError("optim", "there is no update rule {}", name);
}

bool is_matrix(const Parameter& parameter) { return parameter.value.dim() == 2 && !parameter.form.convolution; }

std::vector<NamedTensor> named_parts(const std::string& prefix, const at::Tensor& buffer, const ParameterGroup& group) {
  std::vector<NamedTensor> parts;
  for (const auto* segment : group.segments)
    parts.push_back({prefix + "." + segment->name, buffer.narrow(0, segment->offset - group.offset, segment->count).view(segment->shape)});
  return parts;
}

std::vector<Assignment> assignments(const OptimizerConfig& config) {
  using enum ParameterClass;
  std::vector<Assignment> all;
  if (!config.adamw_matrices.empty())
    all.push_back({.classes = {matrix}, .patterns = config.adamw_matrices, .rule = "adamw", .weight_decay = config.weight_decay});
  all.push_back({.classes = {matrix}, .rule = config.name, .weight_decay = config.weight_decay});
  all.push_back({.classes = {matrix, embedding, head}, .rule = "adamw", .weight_decay = config.weight_decay});
  all.push_back({.classes = {vector, multiplier}, .rule = "adamw"});
  return all;
}

Optimizer::Optimizer(Parameters& parameters, at::ScalarType working, const OptimizerConfig& config, std::vector<Assignment> assignments,
                     std::uint64_t seed)
    : config_(config),
      assignments_(std::move(assignments)),
      parameters_(parameters, working, groups_of(parameters, assignments_, config_)) {
  const auto options = parameters_.master().options();
  for (std::size_t g = 0; g < parameters_.groups().size(); ++g) {
    const auto& group = parameters_.groups()[g];
    rules_.push_back(group.segments.empty() ? nullptr : rule_kind(assignments_[g].rule).make(group, options, config_, seed));
  }
}

double Optimizer::gradient_norm(const std::vector<double>& squares) const {
  double sum = 0;
  const auto* first = parameters_.segments().data();
  std::vector<bool> counts(squares.size());
  for (std::size_t g = 0; g < parameters_.groups().size(); ++g)
    for (const auto* segment : parameters_.groups()[g].segments)
      counts[static_cast<std::size_t>(segment - first)] = assignments_[g].in_clip_norm;
  for (std::size_t i = 0; i < squares.size(); ++i)
    if (counts[i]) sum += squares[i];
  return std::sqrt(sum);
}

void Optimizer::step_(const Gradients& gradients, double lr, double gradient_scale) {
  const at::NoGradGuard no_grad;
  ++steps_;
  for (std::size_t g = 0; g < rules_.size(); ++g) {
    if (!rules_[g]) continue;
    const auto& group = parameters_.groups()[g];
    const auto& assignment = assignments_[g];
    rules_[g]->update_({group, group.in(parameters_.master()), group.in(gradients.flat()), group.in(parameters_.working())},
                       {.lr = lr * assignment.lr_factor,
                        .weight_decay = assignment.weight_decay,
                        .gradient_scale = assignment.in_clip_norm ? gradient_scale : 1,
                        .step = steps_});
  }
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> all;
  for (const auto& rule : rules_)
    if (rule) std::ranges::move(rule->state(), std::back_inserter(all));
  return all;
}

std::int64_t Optimizer::state_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : state()) bytes += static_cast<std::int64_t>(tensor.nbytes());
  return bytes;
}

std::int64_t Optimizer::matrix_state_bytes() const {
  // "PREFIX.NAME", or "PREFIX.NAME.0" where a weight is made of several matrices.
  const auto is_matrix_state = [&](std::string name) {
    for (name.erase(0, name.find('.') + 1); !name.empty(); name.erase(std::min(name.rfind('.'), name.size())))
      for (const auto& segment : parameters_.segments())
        if (segment.name == name) return segment.kind == ParameterClass::matrix;
    return false;
  };
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : state())
    if (is_matrix_state(name)) bytes += static_cast<std::int64_t>(tensor.nbytes());
  return bytes;
}

std::vector<RuleShare> Optimizer::shares() const {
  std::vector<RuleShare> all;
  for (std::size_t g = 0; g < rules_.size(); ++g) {
    if (!rules_[g]) continue;
    const auto& assignment = assignments_[g];
    auto& share = all.emplace_back(RuleShare{assignment.rule, assignment.lr_factor, assignment.weight_decay, {}});
    for (const auto* segment : parameters_.groups()[g].segments) share.parameters.push_back(segment->name), share.numbers += segment->count;
    for (const auto& [name, tensor] : rules_[g]->state()) share.state_bytes += static_cast<std::int64_t>(tensor.nbytes());
  }
  return all;
}

std::unique_ptr<Optimizer> make_optimizer(Parameters& parameters, at::ScalarType working, const OptimizerConfig& config,
                                          std::uint64_t seed) {
  return std::make_unique<Optimizer>(parameters, working, config, assignments(config), seed);
}

}  // namespace isotrope

#include "isotrope/nn/parameters.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"

namespace isotrope {

std::string_view class_name(ParameterClass kind) {
  switch (kind) {
    case ParameterClass::matrix: return "matrix";
    case ParameterClass::embedding: return "embedding";
    case ParameterClass::head: return "head";
    case ParameterClass::vector: return "vector";
    case ParameterClass::multiplier: return "multiplier";
  }
  return "";
}

at::Tensor allocate(std::vector<std::int64_t> shape, const at::TensorOptions& options, const std::string& what) {
  try {
    return at::empty(shape, options);
  } catch (const c10::Error&) {
    throw WorkError("memory", "there is no room for {} {}", what, shape_text(shape));
  }
}

std::vector<at::Tensor> matrix_views(const at::Tensor& stored, const MatrixForm& form) {
  const auto rows = (form.transposed ? stored.t() : stored).unflatten(0, {form.blocks, -1});
  if (form.parts.empty()) return {rows};
  return rows.split_with_sizes(form.parts, 1);
}

std::vector<NamedMatrix> named_matrices(const std::string& name, const at::Tensor& stored, const MatrixForm& form) {
  const auto views = matrix_views(stored, form);
  std::vector<NamedMatrix> all;
  for (std::size_t i = 0; i < views.size(); ++i) all.push_back({views.size() == 1 ? name : name + "." + std::to_string(i), views[i]});
  return all;
}

at::Tensor Parameters::add(std::string name, std::vector<std::int64_t> shape, ParameterClass kind, Initialization init, MatrixForm form) {
  auto value = allocate(std::move(shape), options_, name).set_requires_grad(true);
  all_.push_back({std::move(name), kind, init, value, std::move(form)});
  return value;
}

Slot Parameters::add_matrix(std::string name, std::vector<std::int64_t> shape, ParameterClass kind, Initialization init, MatrixForm form) {
  auto slot = c10::make_intrusive<LinearSlot>();
  slot->name = name, slot->transposed = form.transposed;
  slot->weight = add(std::move(name), std::move(shape), kind, init, std::move(form));
  all_.back().slot = slot;
  return slot;
}

const Parameter* Parameters::find(std::string_view name) const {
  for (const auto& parameter : all_)
    if (parameter.name == name) return &parameter;
  return nullptr;
}

std::int64_t Parameters::count() const {
  std::int64_t sum = 0;
  for (const auto& parameter : all_) sum += parameter.value.numel();
  return sum;
}

std::int64_t Parameters::count(ParameterClass kind) const {
  std::int64_t sum = 0;
  for (const auto& parameter : all_) sum += parameter.kind == kind ? parameter.value.numel() : 0;
  return sum;
}

namespace {

/// `draw` makes one number from the parameter's own stream and takes exactly two words of it.
template <class T = float>
at::Tensor drawn_values(at::IntArrayRef shape, std::uint64_t seed, const std::string& name, const auto& draw) {
  const at::Tensor values = at::empty(shape, c10::CppTypeToScalarType<T>::value);
  auto* to = values.mutable_data_ptr<T>();
  at::parallel_for(0, values.numel(), 4096, [&](std::int64_t begin, std::int64_t end) {
    RandomStream stream(seed, "init/" + name);
    stream.seek(2 * static_cast<std::uint64_t>(begin));
    for (auto i = begin; i < end; ++i) to[i] = static_cast<T>(draw(stream));
  });
  return values;
}

/// Normal numbers within ± cutoff: the inverse of their distribution function at uniform numbers.
at::Tensor truncated_normal(at::IntArrayRef shape, std::uint64_t seed, const std::string& name, double cutoff) {
  const double edge = std::erf(cutoff / std::numbers::sqrt2);
  auto values = drawn_values<double>(shape, seed, name, [&](RandomStream& stream) { return edge * (2 * stream.uniform() - 1); });
  return values.erfinv_().mul_(std::numbers::sqrt2).clamp_(-cutoff, cutoff);
}

/// softplus(x) = step.
double inverse_softplus(double step) { return step + std::log(-std::expm1(-step)); }

double time_step(const Initialization& init, double uniform) {
  return std::max(init.floor, std::exp(std::log(init.low) + uniform * (std::log(init.high) - std::log(init.low))));
}

at::Tensor sinusoids(std::int64_t rows, std::int64_t width) {
  const auto even = at::arange(0, width, 2, at::kDouble);
  const auto angles = at::arange(rows, at::kDouble).unsqueeze(1) * at::pow(10000.0, -even / static_cast<double>(width)).unsqueeze(0);
  return at::stack({angles.sin(), angles.cos()}, 2).flatten(1, 2).narrow(1, 0, width);
}

}  // namespace

void initialize_(Parameter& parameter, std::uint64_t seed) {
  using Kind = Initialization::Kind;
  const at::NoGradGuard no_grad;
  auto& value = parameter.value;
  const auto& init = parameter.init;
  const auto draw = [&](const auto& number) { value.copy_(drawn_values(value.sizes(), seed, parameter.name, number)); };
  switch (init.kind) {
    case Kind::zeros: value.zero_(); break;
    case Kind::ones: value.fill_(1); break;
    case Kind::sinusoids: value.copy_(sinusoids(value.size(0), value.size(1))); break;
    case Kind::normal:
      if (init.cutoff > 0) value.copy_(truncated_normal(value.sizes(), seed, parameter.name, init.cutoff).mul_(init.std));
      else draw([&](RandomStream& stream) { return init.std * stream.normal(); });
      break;
    case Kind::log_uniform:
      draw([&](RandomStream& stream) { return std::log(init.low + stream.uniform() * (init.high - init.low)); });
      break;
    case Kind::time_step: draw([&](RandomStream& stream) { return inverse_softplus(time_step(init, stream.uniform())); }); break;
  }
}

void initialize_(Parameters& parameters, std::uint64_t seed) {
  for (auto& parameter : parameters.all()) initialize_(parameter, seed);
}

}  // namespace isotrope

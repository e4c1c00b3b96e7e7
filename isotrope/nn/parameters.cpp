#include "isotrope/nn/parameters.h"

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

at::Tensor Parameters::add(std::string name, std::vector<std::int64_t> shape, ParameterClass kind, Initialization init) {
  auto value = at::empty(shape, options_).set_requires_grad(true);
  all_.push_back({std::move(name), kind, init, value});
  return value;
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

at::Tensor normal_values(at::IntArrayRef shape, double std, std::uint64_t seed, const std::string& name) {
  auto values = at::empty(shape, at::kFloat);
  auto* to = values.mutable_data_ptr<float>();
  at::parallel_for(0, values.numel(), 4096, [&](std::int64_t begin, std::int64_t end) {
    RandomStream stream(seed, "init/" + name);
    stream.seek(2 * static_cast<std::uint64_t>(begin));  // normal() takes two words a number
    for (auto i = begin; i < end; ++i) to[i] = static_cast<float>(std * stream.normal());
  });
  return values;
}

}  // namespace

void initialize_(Parameters& parameters, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (auto& [name, kind, init, value] : parameters.all()) {
    switch (init.kind) {
      case Initialization::Kind::zeros: value.zero_(); break;
      case Initialization::Kind::ones: value.fill_(1); break;
      case Initialization::Kind::normal: value.copy_(normal_values(value.sizes(), init.std, seed, name)); break;
    }
  }
}

}  // namespace isotrope

#include "isotrope/nn/additions.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/base/glob.h"

namespace isotrope {

namespace {

/// The matrices that a pattern of the list names, each once, in the model's order.
std::vector<Slot> matching_slots(const Parameters& parameters, const std::vector<std::string>& patterns, const char* key) {
  std::vector<Slot> found;
  std::vector<bool> used(patterns.size());
  for (const auto& parameter : parameters.all()) {
    bool matches = false;
    for (std::size_t i = 0; parameter.slot && i < patterns.size(); ++i)
      if (glob_matches(patterns[i], parameter.name)) matches = used[i] = true;
    if (matches) found.push_back(parameter.slot);
  }
  for (std::size_t i = 0; i < patterns.size(); ++i)
    if (!used[i]) throw UsageError("model", "{}: no matrix of the model is called {}", key, patterns[i]);
  return found;
}

std::string module_of(const std::string& weight) {
  constexpr std::string_view suffix = ".weight";
  return weight.ends_with(suffix) ? weight.substr(0, weight.size() - suffix.size()) : weight;
}

at::Tensor add_to(Parameters& parameters, const LinearSlot& slot, const char* suffix, std::vector<std::int64_t> shape, ParameterClass kind,
                  Initialization init, std::uint64_t seed = 0) {
  const auto value = parameters.add(module_of(slot.name) + suffix, std::move(shape), kind, init);
  auto& added = parameters.all().back();
  added.addition_to = slot.name;
  initialize_(added, seed);
  return value;
}

}  // namespace

void add_multipliers(Parameters& parameters, const MultipliersConfig& config) {
  const auto add = [&](const LinearSlot& slot, const char* suffix, std::vector<std::int64_t> shape) {
    return add_to(parameters, slot, suffix, std::move(shape), ParameterClass::multiplier, {Initialization::Kind::ones});
  };
  for (const auto& slot : matching_slots(parameters, config.rows, "multipliers.rows"))
    slot->row = add(*slot, ".row_multiplier", {slot->outputs()});
  for (const auto& slot : matching_slots(parameters, config.columns, "multipliers.columns"))
    slot->column = add(*slot, ".column_multiplier", {slot->inputs()});
  for (const auto& slot : matching_slots(parameters, config.scalars, "multipliers.scalars"))
    slot->scale = add(*slot, ".scale_multiplier", {});
}

void add_lora(Parameters& parameters, const LoraConfig& config, std::uint64_t seed) {
  const auto slots = matching_slots(parameters, config.targets, "lora.targets");
  if (slots.empty()) return;
  for (auto& parameter : parameters.all()) parameter.trains = false;
  for (const auto& slot : slots) {
    const auto in = slot->inputs(), out = slot->outputs();
    slot->down = add_to(parameters, *slot, ".lora_A.weight", {config.rank, in}, ParameterClass::matrix,
                        {.std = 1 / std::sqrt(3.0 * static_cast<double>(in))}, seed);
    slot->up = add_to(parameters, *slot, ".lora_B.weight", {out, config.rank}, ParameterClass::matrix, {Initialization::Kind::zeros});
    slot->lora_scale = config.alpha / static_cast<double>(config.rank);
  }
}

at::Tensor merged_value(const Parameters& parameters, const Parameter& parameter,
                        const std::function<at::Tensor(const Parameter&)>& value) {
  if (!parameter.slot || !parameter.slot->has_additions()) return value(parameter);
  const at::NoGradGuard no_grad;
  auto merged = c10::make_intrusive<LinearSlot>();
  const auto& slot = *parameter.slot;
  merged->weight = value(parameter).detach().to(at::kFloat);
  merged->transposed = slot.transposed, merged->lora_scale = slot.lora_scale;
  for (const auto& [from, to] : {std::pair{&slot.row, &merged->row},
                                 {&slot.column, &merged->column},
                                 {&slot.scale, &merged->scale},
                                 {&slot.down, &merged->down},
                                 {&slot.up, &merged->up}})
    for (const auto& other : parameters.all())
      if (from->defined() && other.value.is_same(*from)) *to = value(other).detach().to(at::kFloat);
  return effective_weight(*merged);
}

}  // namespace isotrope

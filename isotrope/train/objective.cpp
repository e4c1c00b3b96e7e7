#include "isotrope/train/objective.h"

#include <algorithm>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

std::vector<const ObjectiveKind*>& objective_kinds() {
  static std::vector<const ObjectiveKind*> kinds;
  return kinds;
}

/// Keys that were set although another objective alone reads them.
void refuse_keys_without_effect(RunConfig config, const ObjectiveKind& kind) {
  RunConfig defaults;
  const auto given = config.schema().settings(), usual = defaults.schema().settings();
  for (std::size_t i = 0; i < given.size(); ++i) {
    const auto& [key, value] = given[i];
    if (!key.starts_with("objective.") || key == "objective.name" || value == usual[i].second) continue;
    if (std::ranges::find(kind.keys, key) == kind.keys.end())
      throw UsageError("train", "{} = {} has no effect here: this model is trained on {}", key, value, kind.name);
  }
}

}  // namespace

ObjectiveKind::ObjectiveKind(std::string name_, std::vector<std::string> keys_, decltype(is_own) is_own_, decltype(refusal) refusal_,
                             decltype(make) make_)
    : name(std::move(name_)), keys(std::move(keys_)), is_own(is_own_), refusal(refusal_), make(make_) {
  objective_kinds().push_back(this);
}

const ObjectiveKind& objective_kind(const Model& model, const std::string& name) {
  const auto& kinds = objective_kinds();
  const auto found =
      std::ranges::find_if(kinds, [&](const auto* kind) { return name == "auto" ? kind->is_own(model) : kind->name == name; });
  if (found == kinds.end() && name != "auto") throw UsageError("train", "objective.name = {} is none that this program knows", name);
  if (found == kinds.end())
    throw with_hint(InputError("train", "the model has no head to train"),
                    "name an architecture with one in config.json: BertForMaskedLM, LlamaForCausalLM, …");
  if (const auto why = (*found)->refusal(model); !why.empty()) throw UsageError("train", "objective.name = {}: {}", (*found)->name, why);
  return **found;
}

std::unique_ptr<Objective> make_objective(const ObjectiveSetup& setup) {
  const auto& kind = objective_kind(setup.model, setup.config.objective.name);
  refuse_keys_without_effect(setup.config, kind);
  return kind.make(setup);
}

}  // namespace isotrope

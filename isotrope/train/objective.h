#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "isotrope/models/model.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/batch.h"
#include "isotrope/train/measures.h"
#include "isotrope/train/run_config.h"

namespace isotrope {

/// How much there is to train on and to evaluate; 0: not known, or nothing.
struct DataSize {
  std::int64_t tokens = 0, validation_tokens = 0, validation_rows = 0;
};

/// What a run minimises, and the data that it takes it from.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual std::string name() const = 0;  ///< objective.name
  virtual std::string data() const = 0;  ///< what tells its training data from others; a resume with others is refused
  virtual DataSize data_size() const = 0;
  /// Of the tokens, the share that the language-modelling head is computed for.
  virtual double head_share() const = 0;

  /// Rows [position, position + rows) of the training data, on the model's device: a function of the seed and the position alone.
  virtual Batch batch(std::uint64_t position, std::int64_t rows) const = 0;
  /// The loss of a batch, its share of the step's: differentiable scalar, undefined where the batch predicts nothing. What was predicted is
  /// added to `measures`.
  virtual at::Tensor loss(Model& model, const Batch& batch, const StepCounts& counts, const ForwardContext& context,
                          Measures& measures) const = 0;
  /// What it says of the validation data: the same rows at every evaluation. Throws Interrupted when asked to stop.
  virtual void evaluate(Model& model, const std::function<bool()>& stop_requested, Measures& measures) const = 0;
};

struct ObjectiveSetup {
  const Model& model;
  const RunConfig& config;
  /// Null for plans and tests, which have no data: rows are then tokens without meaning, of the shapes that training has.
  const Tokenizer* tokenizer;
};

/// An objective as the configuration names it. A file of train/objectives that makes one registers it: `const ObjectiveKind clm_objective{…}`.
struct ObjectiveKind {
  std::string name;
  std::vector<std::string> keys;  ///< of `[objective]`, besides the name, that decide anything here; others must stay at their defaults
  bool (*is_own)(const Model&);   ///< whether the architecture is made for it: what objective.name = auto takes
  std::string (*refusal)(const Model&);  ///< why the model cannot be trained so; empty where it can
  std::unique_ptr<Objective> (*make)(const ObjectiveSetup&);

  ObjectiveKind(std::string name, std::vector<std::string> keys, decltype(is_own) is_own, decltype(refusal) refusal, decltype(make) make);
};

/// What objective.name makes of this model. Throws UsageError for what the architecture has no head for, InputError for a model without any.
const ObjectiveKind& objective_kind(const Model& model, const std::string& name);

/// That objective with its data. Throws UsageError besides for keys without effect, InputError for data that do not fit the tokenizer.
std::unique_ptr<Objective> make_objective(const ObjectiveSetup& setup);

}  // namespace isotrope

#pragma once

#include "isotrope/models/model.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/batch.h"
#include "isotrope/train/run_config.h"

namespace isotrope {

/// What `name` (objective.name) makes of this model; auto: clm for decoders, bilm for models that read from both sides, mlm_nsp for
/// encoders with a head for pairs, mlm for the others. Throws UsageError for what the architecture has no head for, InputError for a model
/// without any.
Objective objective_of(const Model& model, const std::string& name);

/// What the configuration's objective.name makes of this model, and how rows are put together for it.
/// Throws UsageError for an objective that the architecture has no head for, or keys of masking without masks; InputError where the
/// tokenizer lacks the tokens that it needs.
CollatorOptions collation_for(const Model& model, const Tokenizer& tokenizer, const RunConfig& config);

}  // namespace isotrope

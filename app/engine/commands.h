#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "app/engine.h"
#include "isotrope/models/model.h"
#include "isotrope/train/open_checkpoint.h"
#include "isotrope/train/run_config.h"

namespace isotrope::app {

void run_plan(const PlanCommand& options);
void run_train(const TrainCommand& options);
void run_generate(const GenerateCommand& options);
void run_eval(const EvalCommand& options);
void run_eval_tasks(const EvalCommand& options);
void run_fill(const FillCommand& options);
void run_embed(const EmbedCommand& options);
void run_parity(const ParityCommand& options);
void run_convert(const ConvertCommand& options);
void run_spectrum(const SpectrumCommand& options);
void run_compare(const CompareCommand& options);

/// The configuration of a run with what the command line says over it.
RunConfig read_run_config(const TrainCommand& options);

/// One id or a list of them under `eos_token_id`: generation_config.json comes before config.json, as in transformers. Empty where neither
/// says it.
std::vector<TokenId> eos_ids(const fs::path& folder, const nlohmann::json& config);

/// A model and its tokenizer as the command line names them.
struct LoadedModel : Checkpoint {
  std::vector<TokenId> eos;  ///< from generation_config.json or config.json, else the tokenizer's
};

/// Sets the number of threads and loads. Throws InputError when the tokenizer does not fit the model.
LoadedModel load(const std::string& model, const ComputeOptions& compute, const CommonOptions& common);

}  // namespace isotrope::app

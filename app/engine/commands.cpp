#include "app/engine/commands.h"
#include "app/output.h"

#include <ATen/Parallel.h>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"
#include "isotrope/io/model_path.h"
#include "isotrope/kernels/retained_memory.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/train/session.h"
#include "isotrope_version.h"

namespace isotrope::app {

std::vector<TokenId> eos_ids(const fs::path& folder, const nlohmann::json& config) {
  const auto generation = folder / "generation_config.json";
  const auto own = fs::exists(generation) ? read_json(generation, "model") : nlohmann::json();
  for (const auto& [json, file] : {std::pair{&own, generation}, std::pair{&config, folder / "config.json"}}) {
    const auto found = json->is_object() ? json->find("eos_token_id") : json->end();
    if (found == json->end() || found->is_null()) continue;
    if (found->is_number_integer()) return {found->get<TokenId>()};
    if (found->is_array() && std::ranges::all_of(*found, [](const auto& id) { return id.is_number_integer(); }))
      return found->get<std::vector<TokenId>>();
    throw InputError("model", "{}: eos_token_id is {}, expected an integer or a list of them", file.string(), found->dump());
  }
  return {};
}

LoadedModel load(const std::string& model, const ComputeOptions& compute, const CommonOptions& common) {
  at::set_num_threads(thread_count(common));
  retain_tensor_memory();
  LoadOptions options{.device = device_from_option(compute.device), .keep_packed = compute.keep_packed};
  if (!compute.dtype.empty()) options.dtype = dtype_from_option(compute.dtype);
  LoadedModel loaded{open_checkpoint(resolve_model(model), options), {}};
  loaded.eos = eos_ids(loaded.folder, loaded.model->config());
  if (loaded.eos.empty() && loaded.tokenizer->eos()) loaded.eos = {*loaded.tokenizer->eos()};
  return loaded;
}

}  // namespace isotrope::app

extern "C" const isotrope::app::EngineCommands* isotrope_engine_commands() {
  using namespace isotrope::app;
  static const EngineCommands commands{ISOTROPE_VERSION, run_plan,   run_train,   run_generate, run_eval,   run_fill,
                                       run_embed,        run_parity, run_convert, run_spectrum, run_compare};
  return &commands;
}

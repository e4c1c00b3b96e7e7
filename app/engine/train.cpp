#include "isotrope/train/train.h"

#include <cmath>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"

namespace isotrope::app {

RunConfig read_run_config(const TrainCommand& options) {
  auto config = isotrope::read_run_config(options.config, options.set);
  if (!options.device.empty()) config.train.device = options.device;
  if (!options.dtype.empty()) config.train.precision = options.dtype == "float32" ? "fp32" : "bf16";
  if (options.seed) config.train.seed = static_cast<std::int64_t>(*options.seed);
  if (options.common.threads > 0) config.train.threads = options.common.threads;
  if (config.train.threads == 0) config.train.threads = thread_count(options.common);
  return config;
}

void run_train(const TrainCommand& options) {
  const auto config = read_run_config(options);
  const auto result = train(config, {.resume = options.resume});
  note(fmt::format("{} steps, {} tokens in {}; model: {}", result.steps, count_text(static_cast<double>(result.tokens)),
                   duration_text(result.seconds), result.checkpoint.string()));
  if (!options.common.json) return;
  const auto number = [](double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr); };
  nlohmann::json json{{"folder", result.folder.string()},
                      {"checkpoint", result.checkpoint.string()},
                      {"steps", result.steps},
                      {"tokens", result.tokens},
                      {"skipped", result.skipped},
                      {"loss", number(result.loss)},
                      {"validation_nll", nullptr},
                      {"validation_bits_per_byte", nullptr},
                      {"seconds", result.seconds}};
  for (const auto& [name, value] : result.measures) json[name] = number(value);
  print_json(json);
}

}  // namespace isotrope::app

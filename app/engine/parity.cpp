#include "isotrope/infer/parity.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/io/model_path.h"
#include "isotrope/kernels/retained_memory.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/train/session.h"

namespace isotrope::app {

namespace {

/// Infinity and NaN have no JSON number; they become null.
nlohmann::json number(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr); }

nlohmann::json parity_json(const ParityReport& report, const ParityCommand& options, const std::string& dtype, double tolerance) {
  auto taps = nlohmann::json::array();
  for (const auto& tap : report.taps)
    taps.push_back({{"tap", tap.tap}, {"relative", number(tap.relative)}, {"rms", number(tap.rms)}, {"max_abs", number(tap.max_abs)}});
  const auto departure = report.first_departure(tolerance);
  const auto& loss = report.loss;
  return {{"loss", loss ? nlohmann::json{{"ours", number(loss->ours)}, {"theirs", number(loss->theirs)}, {"tokens", loss->tokens}}
                        : nlohmann::json()},
          {"model", options.model},
          {"against", options.dump},
          {"dtype", dtype},
          {"tolerance", tolerance},
          {"tokens", report.tokens},
          {"first_departure", departure ? nlohmann::json(report.taps[*departure].tap) : nlohmann::json(nullptr)},
          {"taps", taps}};
}

void print_parity(const ParityReport& report, const std::string& dtype, double tolerance) {
  std::size_t width = 3;
  for (const auto& tap : report.taps) width = std::max(width, tap.tap.size());
  std::string text = fmt::format("{:<{}}  {:>10}  {:>10}  {:>10}\n", "tap", width, "relative", "RMS", "max");
  for (const auto& tap : report.taps)
    text += fmt::format("{:<{}}  {:>10.3e}  {:>10.3e}  {:>10.3e}{}\n", tap.tap, width, tap.relative, tap.rms, tap.max_abs,
                        tap.relative <= tolerance ? "" : "  departs");
  const auto departed = std::ranges::count_if(report.taps, [&](const auto& tap) { return !(tap.relative <= tolerance); });
  text += fmt::format("{} taps of {} tokens compared in {}, {} depart by more than {:g}\n", report.taps.size(), report.tokens, dtype,
                      departed, tolerance);
  if (const auto& loss = report.loss)
    text += fmt::format("loss of {} targets: {:.6f} here, {:.6f} there\n", loss->tokens, loss->ours, loss->theirs);
  std::fputs(text.c_str(), stdout);
}

}  // namespace

void run_parity(const ParityCommand& options) {
  at::set_num_threads(thread_count(options.common));
  retain_tensor_memory();
  const ActivationDump dump(options.dump);
  const auto dtype = options.compute.dtype.empty() ? dump.dtype() : options.compute.dtype;
  // Rounding every operation to eight bits, here or there, carries two right implementations apart by a few hundredths.
  const double tolerance = options.tolerance.value_or(dtype == "float32" && dump.dtype() == "float32" ? 1e-4 : 0.1);
  const auto model =
      load_model(resolve_model(options.model), {.dtype = dtype_from_option(dtype), .device = device_from_option(options.compute.device)});
  const auto report = compare_with_dump(*model, dump);
  if (options.common.json) print_json(parity_json(report, options, dtype, tolerance));
  else print_parity(report, dtype, tolerance);
  const auto departure = report.first_departure(tolerance);
  if (!departure) return;
  std::fflush(stdout);
  const auto& tap = report.taps[*departure];
  throw WorkError("parity", "{} is the first tap that departs: relative difference {:.3e}, the tolerance {:.3e}", tap.tap, tap.relative,
                  tolerance);
}

}  // namespace isotrope::app

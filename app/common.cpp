#include "app/common.h"

#include "isotrope/base/log.h"

namespace isotrope::app {

void add_common_options(CLI::App& command, CommonOptions& options) {
  command.add_flag("--json", options.json, "Print one JSON object as the last line of stdout");
  command.add_flag("-q,--quiet", options.quiet, "No progress and no notes on stderr");
  command.add_flag("-v,--verbose", options.verbose, "More notes; a back-trace with an internal error");
  command.add_option("--threads", options.threads, "Threads to compute with (default: one a core)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command.parse_complete_callback([&options] {
    set_verbosity(options.quiet ? Verbosity::quiet : options.verbose ? Verbosity::verbose : Verbosity::normal);
  });
}

void add_compute_options(CLI::App& command, ComputeOptions& options) {
  command.add_option("--device", options.device, "cpu, cuda, cuda:N or mps")->capture_default_str()->type_name("DEVICE");
  command.add_option("--dtype", options.dtype, "float32, bfloat16 or float16 (default: as stored)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->type_name("DTYPE");
  command.add_flag("--keep-packed", options.keep_packed,
                   "Leave the quantized matrices of a GGUF file as they are: less memory, faster text");
  command.add_option("--seed", options.seed, "Seed of every random choice")->capture_default_str()->type_name("N");
}

void set_examples(CLI::App& command, std::initializer_list<const char*> lines) {
  std::string text = lines.size() > 1 ? "Examples:" : "Example:";
  for (const auto* line : lines) text += std::string("\n  ") + line;
  command.footer(text);
}

}  // namespace isotrope::app

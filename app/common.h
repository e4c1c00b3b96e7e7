#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace isotrope::app {

/// What every command takes.
struct CommonOptions {
  bool json = false;   ///< one JSON object as the last line of stdout
  bool quiet = false;  ///< no progress, no notes
  bool verbose = false;
  int threads = 0;  ///< 0: one a core
};

/// What commands that compute with tensors take besides.
struct ComputeOptions {
  std::string device = "cpu";  ///< cpu | cuda[:n] | mps
  std::string dtype;           ///< float32 | bfloat16 | float16; empty: the stored one
  bool keep_packed = false;    ///< quantized matrices of a GGUF file stay as they are
  std::uint64_t seed = 0;
};

/// Adds --json, --quiet, --verbose, --threads. Applies verbosity before the command's own callback runs.
void add_common_options(CLI::App& command, CommonOptions& options);
/// Adds --device, --dtype, --keep-packed, --seed.
void add_compute_options(CLI::App& command, ComputeOptions& options);

/// What MODEL may be, in every help text that describes one.
constexpr const char* model_help =
    "Model, checkpoint or run folder, .gguf file, llama2.c's .bin, or the name of a model in the Hugging Face cache (gpt2, org/name)";

/// The example lines at the end of a command's help.
void set_examples(CLI::App& command, std::initializer_list<const char*> lines);

}  // namespace isotrope::app

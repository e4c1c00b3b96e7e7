#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/common.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope::app {

struct TrainCommand {
  CommonOptions common;
  std::string config, device, dtype;  ///< device, dtype: empty, as the configuration says
  std::optional<std::uint64_t> seed;
  std::vector<std::string> set;
  bool resume = false;
};

struct PlanCommand {
  CommonOptions common;
  std::string config, device, dtype;  ///< as in TrainCommand; `config` may be a run's folder
  std::vector<std::string> set;
  std::int64_t steps = 10;
  bool no_save = false;
};

struct GenerateCommand {
  CommonOptions common;
  ComputeOptions compute;
  std::string model, prompt, prompt_file;
  std::string system, messages;  ///< a chat: the system's words, a file of messages
  std::vector<std::string> message, stop;
  std::int64_t max_tokens = 128, top_k = 0;
  double temperature = 1.0, top_p = 1.0, min_p = 0.0, repetition_penalty = 1.0;
  bool echo = false, slide = false, ignore_eos = false;
};

struct EvalCommand {
  CommonOptions common;
  ComputeOptions compute;
  std::string model, data;
  std::int64_t context = 0, stride = 0, max_windows = 0;
  std::int64_t batch_size = 0;  ///< 0: 8 windows; of tasks, as many requests as batch_tokens hold
  bool strict = false;
  std::vector<std::string> tasks;
  std::string task_folder, output;
  std::int64_t limit = 0, batch_tokens = 4096;
  std::optional<std::int64_t> shots, max_tokens;
};

struct FillCommand {
  CommonOptions common;
  ComputeOptions compute;
  std::string model, text, pair;
  std::int64_t top_k = 5;
};

struct EmbedCommand {
  CommonOptions common;
  ComputeOptions compute;
  std::string model, text, output, pooling;
  std::vector<std::int64_t> layers;
  std::int64_t max_length = 0, batch_tokens = 4096;
  bool concatenate = false, normalize = false, no_normalize = false;
};

struct ParityCommand {
  CommonOptions common;
  ComputeOptions compute;
  std::string model, dump;
  std::optional<double> tolerance;  ///< default: by the dtype
};

struct SpectrumCommand {
  CommonOptions common;
  ComputeOptions compute;
  std::vector<std::string> models, of, matrices;
  std::string data, checkpoints, page, csv;
  std::int64_t batches = 8, batch_size = 8, context = 0, top = 0;  ///< context 0: 256, or what the model reads; top 0: all values
};

struct CompareCommand {
  CommonOptions common;
  std::string config, seeds, reference, output;
  std::vector<std::string> axes, set;
  int port = 0;
};

struct ConvertCommand {
  CommonOptions common;
  std::string in, out, type;  ///< type: empty, as stored
  bool no_tokenizer = false;
};

/// The commands that need tensors. They live in a module of their own, opened with libtorch by the first call to engine():
/// `--help` and every command that needs none never pay for it.
struct EngineCommands {
  const char* version;
  void (*plan)(const PlanCommand&);
  void (*train)(const TrainCommand&);
  void (*generate)(const GenerateCommand&);
  void (*eval)(const EvalCommand&);
  void (*fill)(const FillCommand&);
  void (*embed)(const EmbedCommand&);
  void (*parity)(const ParityCommand&);
  void (*convert)(const ConvertCommand&);
  void (*spectrum)(const SpectrumCommand&);
  void (*compare)(const CompareCommand&);
};

/// Opens the module beside the program. Throws WorkError when it is missing or of another version.
const EngineCommands& engine();

/// The symbol that the module exports: a function without arguments that returns const EngineCommands*.
inline constexpr const char* engine_entry = "isotrope_engine_commands";

}  // namespace isotrope::app

#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_eval(CLI::App& root) {
  auto options = std::make_shared<EvalCommand>();
  auto* command = root.add_subcommand("eval", "Score a model on a text: loss, perplexity, bits per byte");
  command->add_option("MODEL", options->model, "Model, checkpoint or run folder, .gguf file, or llama2.c's .bin")
      ->type_name("MODEL")
      ->required();
  command->add_option("--data", options->data, "Text file (read with the model's tokenizer) or token file (.tokens)")
      ->type_name("FILE")
      ->required();
  command->add_option("--context", options->context, "Tokens a window (default: the model's positions, 2048 where it has no limit)")
      ->check(CLI::Range(2, 1 << 30))
      ->type_name("N");
  command->add_option("--stride", options->stride, "Tokens between the starts of windows (default: the context)")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("N");
  command->add_option("--batch-size", options->batch_size, "Windows computed together")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("N");
  command->add_option("--max-windows", options->max_windows, "Score only N windows, spread evenly over the text")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("N");
  command->add_flag("--strict", options->strict, "Text that is not UTF-8 is an error, not U+FFFD");
  add_compute_options(*command, options->compute);
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope eval runs/demo/run --data runs/demo/data/validation.tokens",
                          "isotrope eval MODEL --data book.txt --stride 512 --json"});
  command->callback([options] { engine().eval(*options); });
}

const Command registered{Order::eval, add_eval};

}  // namespace
}  // namespace isotrope::app

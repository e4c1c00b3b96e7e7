#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_convert(CLI::App& root) {
  auto options = std::make_shared<ConvertCommand>();
  auto* command = root.add_subcommand("convert", "A model from one format to another: Hugging Face folder, GGUF, llama2.c");
  command->add_option("IN", options->in, model_help)->type_name("MODEL")->required();
  command->add_option("OUT", options->out, "A new folder for a Hugging Face model, or a new .gguf file")
      ->type_name("FOLDER|FILE")
      ->required();
  command
      ->add_option(
          "--type", options->type,
          "f32, f16, bf16, or in a .gguf q8_0: of matrices (default: as stored, f32 for what is packed); vectors in a .gguf are f32")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0"}))
      ->type_name("TYPE");
  command->add_flag("--no-tokenizer", options->no_tokenizer, "The model alone, without its tokenizer");
  add_common_options(*command, options->common);
  set_examples(*command,
               {"isotrope convert SmolLM2.Q4_1.gguf smollm2 --type bf16", "isotrope convert runs/demo/run demo.gguf --type q8_0"});
  command->callback([options] { engine().convert(*options); });
}

const Command convert_command{Order::convert, add_convert};

}  // namespace
}  // namespace isotrope::app

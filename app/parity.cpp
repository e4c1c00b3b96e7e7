#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_parity(CLI::App& root) {
  auto options = std::make_shared<ParityCommand>();
  auto* command = root.add_subcommand("parity", "Compare a model with its activations in transformers, tap by tap");
  command->add_option("MODEL", options->model, model_help)->type_name("MODEL")->required();
  command->add_option("--against", options->dump, "Activations of the same folder, by tools/dump_activations.py")
      ->type_name("DUMP")
      ->required();
  command
      ->add_option("--tolerance", options->tolerance,
                   "Fail (exit code 1) when a tap's max|difference| / max|reference| exceeds X (default: 1e-4 in float32, else 0.1)")
      ->check(CLI::NonNegativeNumber)
      ->type_name("X");
  command->add_option("--device", options->compute.device, "cpu, cuda, cuda:N or mps")->capture_default_str()->type_name("DEVICE");
  command->add_option("--dtype", options->compute.dtype, "float32, bfloat16 or float16 (default: the dump's)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->type_name("DTYPE");
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope parity MODEL --against dump.safetensors",
                          "isotrope parity MODEL --against dump.safetensors --tolerance 1e-5 --json"});
  command->callback([options] { engine().parity(*options); });
}

const Command parity_command{Order::parity, add_parity};

}  // namespace
}  // namespace isotrope::app

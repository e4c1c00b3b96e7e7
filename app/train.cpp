#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_train(CLI::App& root) {
  auto options = std::make_shared<TrainCommand>();
  auto* command = root.add_subcommand("train", "Train a language model as a configuration says");
  command->add_option("CONFIG", options->config, "Configuration of the run (TOML; isotrope config --list shows every key)")
      ->type_name("FILE")
      ->required();
  command->add_option("--set", options->set, "Override a key of the configuration; repeatable")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--resume", options->resume, "Go on from the newest checkpoint of the run folder");
  command->add_option("--device", options->device, "cpu, cuda, cuda:N or mps (default: train.device)")->type_name("DEVICE");
  command->add_option("--dtype", options->dtype, "float32 or bfloat16 (default: train.precision)")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->type_name("DTYPE");
  command->add_option("--seed", options->seed, "Seed of the run (default: train.seed)")->type_name("N");
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope train configs/demo.toml --set run.folder=runs/mine --set optimizer.lr=2e-3",
                          "isotrope train runs/mine/config.toml --resume"});
  command->callback([options] { engine().train(*options); });
}

const Command train_command{Order::train, add_train};

}  // namespace
}  // namespace isotrope::app

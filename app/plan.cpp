#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_plan(CLI::App& root) {
  auto options = std::make_shared<PlanCommand>();
  auto* command =
      root.add_subcommand("plan", "What a run will need: parameters, operations, memory, disk, time; later, planned against measured");
  command->add_option("CONFIG", options->config, "Configuration of the run (TOML), or the folder of a run")
      ->type_name("FILE|RUN")
      ->required();
  command->add_option("--set", options->set, "Override a key of the configuration; repeatable")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--steps", options->steps, "Steps to time on random tokens, after two that are not timed; 0: none, and no times")
      ->capture_default_str()
      ->check(CLI::Range(0, 10000))
      ->type_name("N");
  command->add_flag("--no-save", options->no_save, "Do not keep the plan as plan.json in the run's folder");
  command->add_option("--device", options->device, "cpu, cuda, cuda:N or mps (default: train.device)")->type_name("DEVICE");
  command->add_option("--dtype", options->dtype, "float32 or bfloat16 (default: train.precision)")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->type_name("DTYPE");
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope plan configs/demo.toml --set train.batch_size=32", "isotrope plan runs/demo/run"});
  command->callback([options] { engine().plan(*options); });
}

const Command plan_command{Order::plan, add_plan};

}  // namespace
}  // namespace isotrope::app

#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_compare(CLI::App& root) {
  auto options = std::make_shared<CompareCommand>();
  auto* command =
      root.add_subcommand("compare", "Train a grid of settings and seeds, one run after another, and show what makes the difference");
  command->add_option("CONFIG", options->config, "Configuration of the runs (TOML); its [compare] may say axes, seeds and reference")
      ->type_name("FILE")
      ->required();
  command->add_option("--axis", options->axes, "A key of the configuration and its values; repeatable: every combination is trained")
      ->type_name("KEY=VALUE,…")
      ->allow_extra_args(false);
  command->add_option("--seeds", options->seeds, "Seeds that each combination is trained with (default: train.seed)")->type_name("N,…");
  command->add_option("--reference", options->reference, "Runs whose best final loss the others are timed against: a value of an axis")
      ->type_name("KEY=VALUE");
  command->add_option("--set", options->set, "Override a key of the configuration in all runs; repeatable")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("-o,--output", options->output, "Folder for runs/, compare.json, report.html; what is finished there is not repeated")
      ->type_name("FOLDER")
      ->required();
  command->add_option("--port", options->port, "Port of the live page on 127.0.0.1; 0: any that is free")
      ->capture_default_str()
      ->check(CLI::Range(0, 65535))
      ->type_name("N");
  add_common_options(*command, options->common);
  set_examples(*command,
               {"isotrope compare demo.toml --axis optimizer.name=adamw,muon,spectra --axis optimizer.lr=8e-4,1e-3,5e-3,1e-2 -o runs/rules",
                "isotrope compare demo.toml --axis train.batch_size=4,16 --seeds 1,2,3 --reference train.batch_size=4 -o runs/batches"});
  command->callback([options] { engine().compare(*options); });
}

const Command compare_command{Order::compare, add_compare};

}  // namespace
}  // namespace isotrope::app

#include <cstdio>
#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/common.h"
#include "isotrope/train/run_config.h"

namespace isotrope::app {

namespace {

struct ConfigOptions {
  bool list = false, markdown = false;
  std::string check;
  std::vector<std::string> set;
};

constexpr const char* markdown_head =
    "# Configuration of a run\n\n"
    "Every key that `isotrope train` knows. A run is configured by a TOML file and by `--set key=value`, which wins; the fully resolved\n"
    "configuration is written to `config.toml` in the run's folder. An unknown key, and a key without effect under the other settings, is "
    "an\n"
    "error. This page is generated: `./dev docs`.\n";

void run_config(const ConfigOptions& options) {
  if (options.list) {
    RunConfig defaults;
    const auto schema = defaults.schema();
    std::fputs(options.markdown ? (markdown_head + schema.to_markdown()).c_str() : schema.to_text().c_str(), stdout);
  }
  if (!options.check.empty()) {
    auto config = read_run_config(options.check, options.set);
    std::fputs(config.schema().to_toml().c_str(), stdout);
  }
}

void add_config(CLI::App& root) {
  auto options = std::make_shared<ConfigOptions>();
  auto* command = root.add_subcommand("config", "Every key of a run's configuration; check a config file");
  auto* list = command->add_flag("--list", options->list, "Print every key with type, default, range and meaning");
  command->add_flag("--markdown", options->markdown, "Print the list as Markdown")->needs(list);
  command->add_option("--check", options->check, "Check a config file and print it fully resolved")->type_name("FILE")->excludes(list);
  command->add_option("--set", options->set, "Override a key for the check")->type_name("KEY=VALUE");
  command->require_option(1, 0);
  set_examples(*command, {"isotrope config --list", "isotrope config --check configs/demo.toml --set train.steps=100"});
  command->callback([options] { run_config(*options); });
}

const Command config_command{Order::config, add_config};

}  // namespace
}  // namespace isotrope::app

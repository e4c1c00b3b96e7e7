#pragma once

#include <CLI/App.hpp>

namespace isotrope::app {

/// A command registers itself from its own file, with its place in the list that `isotrope --help` prints:
///   const Command eval_command{Order::eval, add_eval};
/// `add` gives the root a sub-command with options, help and example; the work is done in the sub-command's callback.
/// Errors are thrown, and printed by main().
enum class Order {
  plan,
  train,
  compare,
  generate,
  eval,
  fill,
  embed,
  spectrum,
  watch,
  report,
  tokenizer,
  data,
  diff,
  parity,
  convert,
  config,
  info,
  completions
};

class Command {
 public:
  Command(Order order, void (*add)(CLI::App& root));
};

/// Adds every registered command to `root`, in order.
void add_commands(CLI::App& root);

}  // namespace isotrope::app

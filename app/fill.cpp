#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_fill(CLI::App& root) {
  auto options = std::make_shared<FillCommand>();
  auto* command = root.add_subcommand("fill", "Complete the masked tokens of a text with an encoder");
  command->add_option("MODEL", options->model, model_help)->type_name("MODEL")->required();
  command->add_option("--text", options->text, "Text with the tokenizer's mask token in it ([MASK], <mask>)")
      ->type_name("TEXT")
      ->required();
  command->add_option("--pair", options->pair, "A second text behind the first")->type_name("TEXT");
  command->add_option("--top-k", options->top_k, "Candidates for each mask")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("K");
  add_compute_options(*command, options->compute);
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope fill bert-base-uncased --text \"Paris is the [MASK] of France.\"",
                          "isotrope fill runs/bert --text \"she [MASK] the door and [MASK].\" --top-k 3 --json"});
  command->callback([options] { engine().fill(*options); });
}

const Command fill_command{Order::fill, add_fill};

}  // namespace
}  // namespace isotrope::app

#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_generate(CLI::App& root) {
  auto options = std::make_shared<GenerateCommand>();
  auto* command = root.add_subcommand("generate", "Generate text with a model, token by token as it comes");
  command->add_option("MODEL", options->model, model_help)->type_name("MODEL")->required();
  auto* prompt = command->add_option("--prompt", options->prompt, "Text to go on from (default: the end-of-text token)")->type_name("TEXT");
  command->add_option("--prompt-file", options->prompt_file, "File with the text to go on from")->type_name("FILE")->excludes(prompt);
  auto* message =
      command
          ->add_option("--message", options->message,
                       "What the user says, in the form of the model's chat template; repeated, user and assistant speak in turns")
          ->type_name("TEXT")
          ->allow_extra_args(false)
          ->excludes(prompt);
  command->add_option("--system", options->system, "With --message: what the model is told before")->type_name("TEXT")->needs(message);
  command->add_option("--messages", options->messages, "File of chat messages, JSON: [{\"role\": …, \"content\": …}, …]")
      ->type_name("FILE")
      ->excludes(prompt)
      ->excludes(message);
  command->add_option("--max-tokens", options->max_tokens, "Tokens to generate at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("N");
  command->add_option("--temperature", options->temperature, "Divides the logits; 0 takes the likeliest token each time")
      ->capture_default_str()
      ->type_name("X");
  command->add_option("--top-k", options->top_k, "Choose among the K likeliest tokens; 0: all")->capture_default_str()->type_name("K");
  command->add_option("--top-p", options->top_p, "Choose among the likeliest tokens that together have probability P")
      ->capture_default_str()
      ->type_name("P");
  command->add_option("--min-p", options->min_p, "Leave out tokens below P times the likeliest one's probability")
      ->capture_default_str()
      ->type_name("P");
  command->add_option("--repetition-penalty", options->repetition_penalty, "Makes tokens seen before less likely; 1: off")
      ->capture_default_str()
      ->type_name("X");
  command->add_option("--stop", options->stop, "End where this text appears; repeatable")->type_name("TEXT")->allow_extra_args(false);
  command->add_flag("--echo", options->echo, "Print the prompt before the answer");
  command->add_flag("--ignore-eos", options->ignore_eos, "Go on past the end-of-text token");
  command->add_flag("--slide", options->slide, "Past the model's context, go on with its last half instead of refusing");
  add_compute_options(*command, options->compute);
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope generate runs/demo/run --prompt \"In the beginning\" --max-tokens 100 --temperature 0.8 --top-k 50",
                          "isotrope generate MODEL --prompt \"Once upon a time\" --temperature 0 --json",
                          "isotrope generate CHAT_MODEL --system \"Be brief.\" --message \"What is gravity?\""});
  command->callback([options] { engine().generate(*options); });
}

const Command generate_command{Order::generate, add_generate};

}  // namespace
}  // namespace isotrope::app

#include <cstdlib>
#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"
#include "isotrope/base/error.h"

namespace isotrope::app {

namespace {

void add_eval(CLI::App& root) {
  auto options = std::make_shared<EvalCommand>();
  auto* command = root.add_subcommand(
      "eval", "Score a model on a text (loss, perplexity, bits per byte) or on tasks (accuracy, exact match, perplexity)");
  command->add_option("MODEL", options->model, model_help)->type_name("MODEL")->required();
  auto* data = command->add_option("--data", options->data, "Text file (read with the model's tokenizer) or token file (.tokens)")
                   ->type_name("FILE");
  auto* tasks = command->add_option("--tasks", options->tasks, "Tasks, separated by commas: files of records, or names in --task-folder")
                    ->type_name("TASK,…")
                    ->delimiter(',')
                    ->excludes(data);
  command->add_option("--context", options->context, "Tokens read at most (default: the model's positions, 2048 where it has no limit)")
      ->check(CLI::Range(2, 1 << 30))
      ->type_name("N");
  command->add_option("--stride", options->stride, "Tokens between the starts of windows (default: the context)")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("N")
      ->needs(data);
  command
      ->add_option("--batch-size", options->batch_size,
                   "Windows (default: 8) or a task's requests (default: by --batch-tokens) computed together")
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("N");
  command->add_option("--max-windows", options->max_windows, "Score only N windows, spread evenly over the text")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("N")
      ->needs(data);
  command->add_flag("--strict", options->strict, "Text that is not UTF-8 is an error, not U+FFFD")->needs(data);
  command
      ->add_option("--task-folder", options->task_folder,
                   "Where tasks are looked for by name (default: eval in the folder that ISOTROPE_DATA names)")
      ->type_name("FOLDER")
      ->needs(tasks);
  command->add_option("--limit", options->limit, "Only the first N items of each task")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("N")
      ->needs(tasks);
  command->add_option("--shots", options->shots, "Solved examples before each question (default: 5 in MMLU and of questions with answers)")
      ->check(CLI::Range(0, 1000))
      ->type_name("N")
      ->needs(tasks);
  command->add_option("--max-tokens", options->max_tokens, "Tokens generated at most for an answer (default: 256)")
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("N")
      ->needs(tasks);
  command->add_option("--batch-tokens", options->batch_tokens, "Tokens of a task's requests computed together, shared ones counted once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24))
      ->type_name("N")
      ->needs(tasks);
  command
      ->add_option("-o,--output", options->output,
                   "Folder for results.json and answers.jsonl; where answers are already, they are gone on with")
      ->type_name("FOLDER")
      ->needs(tasks);
  add_compute_options(*command, options->compute);
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope eval runs/demo/run --data runs/demo/data/validation.tokens",
                          "isotrope eval MODEL --data book.txt --stride 512 --json",
                          "isotrope eval MODEL --tasks arc_easy,piqa,blimp --task-folder eval -o results",
                          "isotrope eval MODEL --tasks my-questions.jsonl --limit 100"});
  command->callback([options, data, tasks] {
    if (data->count() + tasks->count() == 0) throw UsageError("eval", "expected --data or --tasks");
    const char* data_folder = std::getenv("ISOTROPE_DATA");
    if (options->task_folder.empty() && data_folder) options->task_folder = std::string(data_folder) + "/eval";
    engine().eval(*options);
  });
}

const Command eval_command{Order::eval, add_eval};

}  // namespace
}  // namespace isotrope::app

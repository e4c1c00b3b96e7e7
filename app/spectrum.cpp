#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_spectrum(CLI::App& root) {
  auto options = std::make_shared<SpectrumCommand>();
  auto* command =
      root.add_subcommand("spectrum", "Singular values of a model's weights and gradients, of a run's momenta: the spike and the tail");
  command->add_option("MODEL|RUN", options->models, "Models (as everywhere), or run folders: all their checkpoints and archived weights")
      ->type_name("MODEL…")
      ->required();
  command->add_option("--data", options->data, "Text or token file (.tokens): the gradient of the model's loss on it")->type_name("FILE");
  command->add_option("--of", options->of, "What to look at (default: weight; gradient with --data; momentum, second_moment of a run)")
      ->type_name("KIND,…")
      ->delimiter(',')
      ->check(CLI::IsMember({"gradient", "momentum", "second_moment", "update", "weight"}));
  command
      ->add_option("--matrices", options->matrices,
                   "Shell patterns of tensor names (default: the matrices of the first, the middle and the last layer)")
      ->type_name("GLOB,…")
      ->delimiter(',');
  command->add_option("--checkpoints", options->checkpoints, "Of a run: every:N, or steps (a,b,c); default: all there are")
      ->type_name("WHICH");
  command->add_option("--top", options->top, "Only the N leading values, by subspace iteration; full: all, by LAPACK")
      ->default_str("full")
      ->transform([](const std::string& text) { return text == "full" ? std::string("0") : text; })
      ->check(CLI::Range(0, 1 << 30))
      ->type_name("N|full");
  command->add_option("--batches", options->batches, "Batches that the gradient is the mean of")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("N");
  command->add_option("--batch-size", options->batch_size, "Rows of a batch")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("N");
  command->add_option("--context", options->context, "Tokens of a row (default: 256, or as many as the model reads)")
      ->check(CLI::Range(2, 1 << 30))
      ->type_name("N");
  command->add_option("--page", options->page, "The self-contained page of what was found")->type_name("FILE.html");
  command->add_option("--csv", options->csv, "All singular values, a row each")->type_name("FILE");
  add_compute_options(*command, options->compute);
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope spectrum runs/demo/run --page spectra.html",
                          "isotrope spectrum MODEL --data book.txt --matrices '*.mlp.*' --csv values.csv",
                          "isotrope spectrum MODEL --of weight --matrices '*' --top 50 --json"});
  command->callback([options] { engine().spectrum(*options); });
}

const Command spectrum_command{Order::spectrum, add_spectrum};

}  // namespace
}  // namespace isotrope::app

#include <memory>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/engine.h"

namespace isotrope::app {

namespace {

void add_embed(CLI::App& root) {
  auto options = std::make_shared<EmbedCommand>();
  auto* command = root.add_subcommand("embed", "Features of texts: hidden states of any layer, pooled, to .npy or safetensors");
  command->add_option("MODEL", options->model, model_help)->type_name("MODEL")->required();
  command->add_option("--text", options->text, "File with one text a line")->type_name("FILE")->required();
  command->add_option("-o,--output", options->output, "Written to: .npy (features) or .safetensors (features and, unpooled, offsets)")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--layers", options->layers,
                   "Layers to take: 0 the embedding, N behind block N, -1 behind the last (default: final states)")
      ->delimiter(',')
      ->type_name("N,…");
  command->add_flag("--concatenate", options->concatenate, "Several layers one behind the other (default: their sum)");
  command
      ->add_option("--pooling", options->pooling,
                   "mean, cls (first token), last, max, none (default: the folder's; else mean for encoders, last for decoders)")
      ->check(CLI::IsMember({"mean", "cls", "last", "max", "none"}))
      ->type_name("NAME");
  auto* normalize = command->add_flag("--normalize", options->normalize, "Features of length 1");
  command->add_flag("--no-normalize", options->no_normalize, "Not so, whatever the folder says")->excludes(normalize);
  command
      ->add_option("--max-length", options->max_length,
                   "Cut texts after N tokens (default: the folder's limit; else longer ones are an error)")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("N");
  command->add_option("--batch-tokens", options->batch_tokens, "Tokens computed together")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24))
      ->type_name("N");
  add_compute_options(*command, options->compute);
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope embed all-MiniLM-L6-v2 --text sentences.txt -o sentences.npy",
                          "isotrope embed MODEL --text texts.txt --layers=-4,-3,-2,-1 --pooling cls -o features.safetensors"});
  command->callback([options] { engine().embed(*options); });
}

const Command embed_command{Order::embed, add_embed};

}  // namespace
}  // namespace isotrope::app

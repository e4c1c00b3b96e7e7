// isotrope tokenizer train: learn a byte-level BPE or a WordPiece vocabulary from text.
#include <array>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "CLI/CLI.hpp"
#include "app/common.h"
#include "app/output.h"
#include "app/tokenizer_commands.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/text/train/bpe_train.h"
#include "isotrope/text/train/word_piece_train.h"

namespace isotrope::app {

namespace {

using Clock = std::chrono::steady_clock;

struct TrainOptions {
  CommonOptions common;
  std::vector<std::string> files, special;
  std::size_t vocab_size = 8192, longest_token = 0, alphabet_limit = 1000;
  std::int64_t min_frequency = 2;
  bool keep_case = false;
  std::string model = "bpe", pattern = "gpt2", strip_accents, output;
};

/// Feeds the files to a trainer and saves what it learned.
template <class Trainer>
void train(const TrainOptions& options, Trainer&& trainer) {
  const auto start = Clock::now();
  std::size_t bytes = 0;
  for (const auto& path : options.files) {
    const MappedFile file(path, "tokenizer");
    bytes += file.bytes().size();
    trainer.add(file.text());
  }
  Progress progress("tokenizer", static_cast<std::int64_t>(options.vocab_size), "tokens");
  const auto tokenizer = trainer.train([&](std::size_t size) { progress.update(static_cast<std::int64_t>(size)); });
  create_folders(options.output, "tokenizer");
  tokenizer->save(options.output);
  if (options.model == "wordpiece")
    write_file(std::filesystem::path(options.output) / "vocab.txt", vocabulary_lines(*tokenizer), "tokenizer");
  if (tokenizer->vocab_size() < options.vocab_size)
    warn(fmt::format("the text gave {} tokens of the {} asked for: no other pair is seen {} times", tokenizer->vocab_size(),
                     options.vocab_size, options.min_frequency));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (options.common.json)
    print_json({{"vocab", tokenizer->vocab_size()},
                {"bytes", bytes},
                {"words", trainer.distinct_words()},
                {"seconds", seconds},
                {"output", options.output}});
  else
    note(fmt::format("{} tokens from {} in {:.2f} s: {}/tokenizer.json", tokenizer->vocab_size(), bytes_text(static_cast<double>(bytes)),
                     seconds, options.output));
}

void train(const TrainOptions& options) {
  if (options.model == "wordpiece") {
    WordPieceTrainOptions pieces{.vocab_size = options.vocab_size,
                                 .min_frequency = options.min_frequency,
                                 .lowercase = !options.keep_case,
                                 .alphabet_limit = options.alphabet_limit,
                                 .threads = thread_count(options.common)};
    if (!options.strip_accents.empty()) pieces.strip_accents = options.strip_accents == "yes";
    if (!options.special.empty()) pieces.special_tokens = options.special;
    return train(options, WordPieceTrainer(std::move(pieces)));
  }
  BpeTrainOptions bpe{.vocab_size = options.vocab_size,
                      .min_frequency = options.min_frequency,
                      .longest_token = options.longest_token,
                      .pattern = options.pattern == "gpt2"     ? Pattern::gpt2
                                 : options.pattern == "llama3" ? Pattern::llama3
                                                               : Pattern::qwen2,
                      .special_tokens = options.special,
                      .threads = thread_count(options.common)};
  if (bpe.special_tokens.empty()) bpe.special_tokens = {"<|endoftext|>"};
  train(options, BpeTrainer(std::move(bpe)));
}

}  // namespace

void add_tokenizer_train(CLI::App& tokenizer) {
  auto* command = tokenizer.add_subcommand("train", "Train a byte-level BPE or a WordPiece tokenizer on text files");
  auto options = std::make_shared<TrainOptions>();
  command->add_option("--file", options->files, "Text to learn from; may be given several times")
      ->required()
      ->type_name("FILE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--model", options->model, "bpe: bytes that merge, as GPT-2's; wordpiece: pieces of words, as BERT's")
      ->capture_default_str()
      ->check(CLI::IsMember({"bpe", "wordpiece"}))
      ->type_name("bpe|wordpiece");
  command->add_option("--vocab-size", options->vocab_size, "Tokens in all: special ones, bytes or characters, merges")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 24));
  command
      ->add_option("--special", options->special,
                   "Special tokens, the first ids in this order (default: <|endoftext|>; wordpiece: [PAD] [UNK] [CLS] [SEP] [MASK])")
      ->type_name("TOKEN")
      ->expected(1, 1 << 16)
      ->allow_extra_args(false);  // or CLI11 takes "[UNK]" for a list in brackets
  command->add_option("--min-frequency", options->min_frequency, "A pair seen less often is not merged")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  auto* pattern = command->add_option("--pattern", options->pattern, "bpe: how text is cut into words")
                      ->capture_default_str()
                      ->check(CLI::IsMember({"gpt2", "llama3", "qwen2"}))
                      ->type_name("gpt2|llama3|qwen2");
  auto* longest = command
                      ->add_option("--max-token-length", options->longest_token,
                                   "bpe: merged tokens that grow further stay shorter than N bytes (0: no limit)")
                      ->capture_default_str()
                      ->type_name("N");
  auto* keep_case = command->add_flag("--keep-case", options->keep_case, "wordpiece: tell capitals from small letters");
  auto* accents =
      command->add_option("--strip-accents", options->strip_accents, "wordpiece: whether accents go (default: unless --keep-case)")
          ->check(CLI::IsMember({"yes", "no"}))
          ->type_name("yes|no");
  auto* limit = command
                    ->add_option("--alphabet-limit", options->alphabet_limit,
                                 "wordpiece: characters that get tokens, the most frequent ones (0: all)")
                    ->capture_default_str()
                    ->type_name("N");
  command->add_option("-o,--output", options->output, "Folder for tokenizer.json and tokenizer_config.json; wordpiece: and vocab.txt")
      ->required()
      ->type_name("FOLDER");
  add_common_options(*command, options->common);
  set_examples(*command,
               {"isotrope tokenizer train --file books.txt --vocab-size 8192 -o my-tokenizer",
                "isotrope tokenizer train --file a.txt --file b.txt --pattern llama3 --special '<|endoftext|>' '<|user|>' -o my-tokenizer",
                "isotrope tokenizer train --model wordpiece --file books.txt --vocab-size 30000 -o my-bert-tokenizer"});
  command->callback([options, of_bpe = std::array{pattern, longest}, of_pieces = std::array{keep_case, accents, limit}] {
    const bool bpe = options->model == "bpe";
    const auto refuse = [&](const auto& given, const char* model) {
      for (const auto* option : given)
        if (option->count() > 0) throw UsageError("tokenizer", "{} is of --model {} alone", option->get_name(), model);
    };
    bpe ? refuse(of_pieces, "wordpiece") : refuse(of_bpe, "bpe");
    train(*options);
  });
}

}  // namespace isotrope::app

#include <charconv>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/common.h"
#include "app/data_commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/progress.h"
#include "isotrope/base/stop.h"
#include "isotrope/data/pack.h"

namespace isotrope::app {

namespace {

// ---- data pack ----------------------------------------------------------------------------------------------------

struct PackArguments : CommonOptions {
  PackOptions pack;
  std::vector<std::string> inputs;
  std::string tokenizer, output, documents = "none", validation_bytes, train_bytes;
  bool no_eos = false;
};

ByteRange parse_range(std::string_view option, std::string_view text) {
  ByteRange range{};
  const auto* end = text.data() + text.size();
  const auto [middle, first] = std::from_chars(text.data(), end, range.begin);
  if (first == std::errc{} && middle != end && *middle == ':') {
    const auto [stopped, second] = std::from_chars(middle + 1, end, range.end);
    if (second == std::errc{} && stopped == end) return range;
  }
  throw UsageError("data", "{} {}: expected BEGIN:END in bytes, such as 90000000:95000000", option, text);
}

nlohmann::json token_counts(const TokenFileInfo& info) {
  return {{"tokens", info.token_count},
          {"documents", info.document_count},
          {"source_bytes", info.source_bytes},
          {"bytes_per_token", static_cast<double>(info.source_bytes) / static_cast<double>(std::max<std::uint64_t>(1, info.token_count))}};
}

void print_part(std::string_view name, const fs::path& output, const TokenFileInfo& info) {
  std::fputs(fmt::format("{:<11}{}: {} tokens, {} documents, {} of text ({:.3f} bytes a token)\n", name,
                         (output / (std::string(name) + ".tokens")).string(), info.token_count, info.document_count,
                         bytes_text(static_cast<double>(info.source_bytes)),
                         static_cast<double>(info.source_bytes) / static_cast<double>(info.token_count))
                 .c_str(),
             stdout);
}

void run_pack(PackArguments& arguments) {
  auto& options = arguments.pack;
  options.inputs.assign(arguments.inputs.begin(), arguments.inputs.end());
  options.output = arguments.output;
  options.tokenizer_name = fs::path(arguments.tokenizer).lexically_normal().filename().string();
  options.documents = DocumentBreak::parse(arguments.documents);
  options.append_eos = !arguments.no_eos;
  options.threads = thread_count(arguments);
  if (!arguments.validation_bytes.empty()) options.validation_bytes = parse_range("--validation-bytes", arguments.validation_bytes);
  if (!arguments.train_bytes.empty()) options.train_bytes = parse_range("--train-bytes", arguments.train_bytes);
  const auto tokenizer = load_tokenizer(arguments.tokenizer);
  const StopRequest stop("\nstopping; once more to stop at once\n");
  options.stop_requested = [&stop] { return stop.requested(); };
  const auto report = pack(*tokenizer, options);

  if (arguments.json) {
    nlohmann::json result{{"output", arguments.output},
                          {"files", report.files},
                          {"skipped_records", report.skipped_records},
                          {"replaced_documents", report.replaced_documents},
                          {"vocab_size", tokenizer->vocab_size()},
                          {"seconds", report.seconds},
                          {"train", token_counts(report.train)}};
    if (report.validation) result["validation"] = token_counts(*report.validation);
    print_json(result);
    return;
  }
  print_part("train", options.output, report.train);
  if (report.validation) print_part("validation", options.output, *report.validation);
}

void add_pack(CLI::App& data) {
  auto arguments = std::make_shared<PackArguments>();
  auto& options = arguments->pack;
  auto& command = *data.add_subcommand("pack", "Turn text into token files to train from");
  command.add_option("INPUT", arguments->inputs, "Text files, .jsonl files, each also .gz .xz .zst; folders of them")->required();
  command
      .add_option("--tokenizer", arguments->tokenizer,
                  "Folder, tokenizer.json or a name in the Hugging Face cache; \"bytes\" for one token a byte")
      ->required()
      ->type_name("T");
  command.add_option("-o,--output", arguments->output, "Folder for train.tokens, validation.tokens and the tokenizer")
      ->required()
      ->type_name("FOLDER");
  command.add_option("--split-documents", arguments->documents, "none, line, blank-lines, or the string between two documents")
      ->capture_default_str()
      ->type_name("HOW");
  command.add_option("--text-key", options.text_key, "Key of the text in JSON lines")->capture_default_str()->type_name("KEY");
  command.add_flag("--no-eos", arguments->no_eos, "No end-of-text token (BERT: [SEP]) after each document");
  command.add_flag("--parse-special", options.parse_special_tokens, "Special tokens written in the text become those tokens");
  command.add_flag("--strict", options.strict, "Text that is not UTF-8 is an error, not U+FFFD");
  command.add_option("--skip-bad", options.skip_bad, "Pass over up to N bad JSON lines")->capture_default_str()->type_name("N");
  command.add_option("--validation", options.validation_fraction, "Part of the documents kept for validation")->type_name("0.05");
  command.add_option("--validation-tail", options.validation_tail, "Last part of the text's bytes kept for validation")->type_name("0.1");
  command.add_option("--validation-bytes", arguments->validation_bytes, "These bytes of the text kept for validation")
      ->type_name("BEGIN:END");
  command.add_option("--train-bytes", arguments->train_bytes, "Only these bytes of the text to train on")->type_name("BEGIN:END");
  command.add_option("--seed", options.seed, "Seed of --validation")->capture_default_str()->type_name("N");
  command.add_flag("--restart", options.restart, "Begin anew where an earlier pack was cut off, which else is gone on with");
  command.add_option("--journal-every", options.journal_seconds, "Seconds between two notes of how far it is: what a kill can cost")
      ->capture_default_str()
      ->type_name("S");
  add_common_options(command, *arguments);
  set_examples(command, {"isotrope data pack corpus.txt --tokenizer bytes -o packed --validation-tail 0.1",
                         "isotrope data pack web/ --tokenizer tokenizer.json -o packed --validation 0.01"});
  command.callback([arguments] { run_pack(*arguments); });
}

// ---- data inspect -------------------------------------------------------------------------------------------------

struct InspectArguments : CommonOptions {
  std::string file, tokenizer;
  bool verify = false;
  std::uint64_t show = 0;
};

struct DocumentLengths {
  std::uint64_t shortest = 0, longest = 0;
};

DocumentLengths lengths_of(const TokenFile& file) {
  DocumentLengths lengths;
  for (std::uint64_t i = 0; i < file.info().document_count; ++i) {
    const auto count = file.document(i).count;
    lengths.shortest = i == 0 ? count : std::min(lengths.shortest, count);
    lengths.longest = std::max(lengths.longest, count);
  }
  return lengths;
}

nlohmann::json token_file_json(const TokenFile& file, const DocumentLengths& lengths, bool verified) {
  const auto& info = file.info();
  auto result = token_counts(info);
  result.update({{"file", file.path().string()},
                 {"format_version", info.version},
                 {"token_width", info.token_width},
                 {"vocab_size", info.vocab_size},
                 {"tokenizer", info.tokenizer_name},
                 {"fingerprint", info.fingerprint},
                 {"eos", info.eos ? nlohmann::json(*info.eos) : nlohmann::json(nullptr)},
                 {"shortest_document", lengths.shortest},
                 {"longest_document", lengths.longest},
                 {"file_bytes", fs::file_size(file.path())},
                 {"verified", verified}});
  return result;
}

void print_token_file(const TokenFile& file, const DocumentLengths& lengths, bool verified) {
  const auto& info = file.info();
  const auto line = [](std::string_view name, const std::string& value) {
    std::fputs(fmt::format("{:<14}{}\n", name, value).c_str(), stdout);
  };
  const auto mean = info.document_count ? static_cast<double>(info.token_count) / static_cast<double>(info.document_count) : 0.0;
  line("file", fmt::format("{}, {}, format version {}", file.path().string(), bytes_text(static_cast<double>(fs::file_size(file.path()))),
                           info.version));
  line("tokens", fmt::format("{} of {} bytes each", info.token_count, info.token_width));
  line("documents",
       fmt::format("{}, from {} to {} tokens, {:.1f} on average", info.document_count, lengths.shortest, lengths.longest, mean));
  line("text", fmt::format("{} bytes, {:.3f} a token", info.source_bytes, token_counts(info)["bytes_per_token"].get<double>()));
  line("vocabulary", fmt::format("{}, end of text {}", info.vocab_size, info.eos ? std::to_string(*info.eos) : "not marked"));
  line("tokenizer", fmt::format("{}, fingerprint {}", info.tokenizer_name.empty() ? "unnamed" : info.tokenizer_name, info.fingerprint));
  if (verified) line("verified", "every checksum, boundary and id is right");
}

/// The first documents as text, each at most 200 tokens of it.
void show_documents(const TokenFile& file, const InspectArguments& arguments) {
  if (arguments.tokenizer.empty()) throw UsageError("data", "--show needs --tokenizer");
  const auto tokenizer = load_tokenizer(arguments.tokenizer);
  file.expect_tokenizer(*tokenizer);
  for (std::uint64_t i = 0; i < std::min(arguments.show, file.info().document_count); ++i) {
    const auto [begin, count] = file.document(i);
    std::vector<TokenId> ids(std::min<std::uint64_t>(count, 200));
    file.copy(begin, ids.size(), ids.data());
    std::fputs(
        fmt::format("---- document {}, {} tokens{}\n{}\n", i, count, count > ids.size() ? ", the first 200" : "", tokenizer->decode(ids))
            .c_str(),
        stdout);
  }
}

void run_inspect(const InspectArguments& arguments) {
  const TokenFile file(arguments.file);
  if (arguments.verify) {
    Progress progress("verifying", static_cast<std::int64_t>(fs::file_size(arguments.file) / 1'000'000), "MB");
    file.verify([&](std::uint64_t bytes) { progress.update(static_cast<std::int64_t>(bytes / 1'000'000)); });
  }
  const auto lengths = lengths_of(file);
  if (!arguments.json) print_token_file(file, lengths, arguments.verify);
  if (arguments.show > 0) show_documents(file, arguments);
  if (arguments.json) print_json(token_file_json(file, lengths, arguments.verify));
}

void add_inspect(CLI::App& data) {
  auto arguments = std::make_shared<InspectArguments>();
  auto& command = *data.add_subcommand("inspect", "What a token file holds, and whether it is whole");
  command.add_option("FILE", arguments->file, "A .tokens file")->required();
  command.add_flag("--verify", arguments->verify, "Check every checksum, document boundary and id");
  command.add_option("--show", arguments->show, "Print the beginning of the first N documents")->type_name("N");
  command.add_option("--tokenizer", arguments->tokenizer, "Tokenizer for --show: a folder or tokenizer.json, or \"bytes\"")->type_name("T");
  add_common_options(command, *arguments);
  set_examples(command, {"isotrope data inspect packed/train.tokens --verify",
                         "isotrope data inspect packed/train.tokens --show 2 --tokenizer packed"});
  command.callback([arguments] { run_inspect(*arguments); });
}

void add_data(CLI::App& root) {
  auto& data = *root.add_subcommand("data", "Make, inspect and fetch training data");
  data.require_subcommand(1);
  set_examples(data, {"isotrope data pack corpus.txt --tokenizer bytes -o packed --validation-tail 0.1"});
  add_pack(data);
  add_inspect(data);
  add_data_fetch(data);
}

const Command data_command{Order::data, add_data};

}  // namespace
}  // namespace isotrope::app

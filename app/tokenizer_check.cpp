// isotrope tokenizer check: a tokenizer against a dump of another implementation, or against itself.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "CLI/CLI.hpp"
#include "app/common.h"
#include "app/output.h"
#include "app/tokenizer_commands.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/text/tokenizer_check.h"

namespace isotrope::app {

namespace {

struct CheckCommand {
  CommonOptions common;
  std::string tokenizer, text, against;
};

/// One line: line ends, tabs and control characters show as escapes.
std::string line_of(std::string_view text) {
  std::string line;
  for (const char c : text) c == '\n' ? line += "\\n" : c == '\t' ? line += "\\t" : line += c;
  return printable(line);
}

nlohmann::json as_json(const TokenizerCheck& check) {
  nlohmann::json result{{"records", check.records}, {"tokens", check.tokens},   {"bytes", check.bytes},
                        {"offsets", check.offsets}, {"decoded", check.decoded}, {"different", check.different}};
  if (!check.first) return result;
  const auto& first = *check.first;
  result["first"] = {{"what", first.what},     {"byte", first.begin},    {"ours", first.ours},
                     {"theirs", first.theirs}, {"before", first.before}, {"at", first.at}};
  return result;
}

std::string report(const TokenizerCheck& check, std::string_view against) {
  auto text = fmt::format("{} record{}, {} tokens, {} bytes against {}: ids of all, offsets of {}, decoded text of {}\n", check.records,
                          check.records == 1 ? "" : "s", check.tokens, check.bytes, printable(against), check.offsets, check.decoded);
  if (!check.first) return text + "no difference\n";
  const auto& first = *check.first;
  return text +
         fmt::format(
             "{} of {} records differ; the first difference is in the {}, at byte {}\n  ours    {}\n  theirs  {}\n  text    {} → {}\n",
             check.different, check.records, first.what, first.begin, line_of(first.ours), line_of(first.theirs), line_of(first.before),
             line_of(first.at));
}

void check(const CheckCommand& options) {
  const auto tokenizer = load_tokenizer(options.tokenizer);
  const MappedFile text(options.text, "tokenizer");
  TokenizerCheck result;
  std::string against = "itself";
  if (options.against.empty()) {
    result = check_alone(*tokenizer, text.text(), thread_count(options.common));
  } else {
    const MappedFile file(options.against, "tokenizer");
    TokenDump dump(file.text(), options.against);
    against = dump.source();
    result = check_against(*tokenizer, text.text(), options.text, dump, thread_count(options.common));
  }
  if (options.common.json) print_json(as_json(result));
  else std::fputs(report(result, against).c_str(), stdout);
  std::fflush(stdout);
  if (result.different > 0) throw WorkError("tokenizer", "{} of {} records differ from {}", result.different, result.records, against);
}

}  // namespace

void add_tokenizer_check(CLI::App& tokenizer) {
  auto* command =
      tokenizer.add_subcommand("check", "Compare ids, offsets and decoded text with another implementation's, or with themselves");
  auto options = std::make_shared<CheckCommand>();
  command->add_option("TOKENIZER_OR_MODEL", options->tokenizer, tokenizer_help)->required();
  command->add_option("--text", options->text, "The file whose bytes are the text")->required()->type_name("FILE");
  command
      ->add_option("--against", options->against,
                   "What another implementation makes of the text, by tools/dump_tokens.py; a difference is exit code 1 (default: the fast "
                   "ids with those of the way that gives offsets, the whole with its parts, decoded text with the text)")
      ->type_name("DUMP");
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope tokenizer check my-tokenizer --text books.txt",
                          "isotrope tokenizer check my-tokenizer --text books.txt --against books.tokens.jsonl"});
  command->callback([options] { check(*options); });
}

}  // namespace isotrope::app

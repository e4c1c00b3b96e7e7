// isotrope tokenizer: turn ids into text, messages into text. Training, encoding and checking have files of their own.
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/common.h"
#include "app/output.h"
#include "app/tokenizer_commands.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/chat/chat_template.h"
#include "isotrope/io/npy.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::app {

namespace {

struct DecodeCommand {
  CommonOptions common;
  std::string tokenizer, file, ids;
  bool skip_special = false;
};

std::vector<TokenId> ids_from_text(std::string_view text, std::string_view name) {
  std::vector<TokenId> ids;
  constexpr std::string_view space = " \t\r\n,";
  for (auto position = text.find_first_not_of(space); position != std::string_view::npos;
       position = text.find_first_not_of(space, position)) {
    const auto end = std::min(text.find_first_of(space, position), text.size());
    TokenId id = 0;
    const auto [parsed, error] = std::from_chars(text.data() + position, text.data() + end, id);
    if (error != std::errc{} || parsed != text.data() + end)
      throw InputError("tokenizer", "{}: expected ids separated by spaces, got \"{}\" at byte {}", name,
                       text.substr(position, std::min<std::size_t>(end - position, 20)), position);
    ids.push_back(id);
    position = end;
  }
  return ids;
}

/// The ids of an .npy file: one-dimensional, int32.
std::vector<TokenId> ids_from_npy(const MappedFile& file, const std::string& name) {
  const NpyFile array(std::as_bytes(std::span(file.text())), name);
  if (array.dtype() != DType::i32 || array.shape().size() != 1)
    throw InputError("tokenizer", "{}: expected a one-dimensional array of int32, got {} {}", name, dtype_name(array.dtype()),
                     shape_text(array.shape()));
  std::vector<TokenId> ids(static_cast<std::size_t>(array.shape()[0]));
  std::memcpy(ids.data(), array.bytes().data(), array.bytes().size());
  return ids;
}

void decode(const DecodeCommand& options, bool has_ids) {
  if (has_ids == !options.file.empty()) throw UsageError("tokenizer", "expected either --file or --ids");
  const auto tokenizer = load_tokenizer(options.tokenizer);
  const auto file = has_ids ? MappedFile() : MappedFile(options.file, "tokenizer");
  const bool npy = file.text().starts_with("\x93NUMPY");
  const auto ids = npy ? ids_from_npy(file, options.file)
                       : ids_from_text(has_ids ? std::string_view(options.ids) : file.text(), has_ids ? "--ids" : options.file);
  const auto text = tokenizer->decode(ids, {.skip_special_tokens = options.skip_special});
  if (options.common.json)
    return print_json({{"text", text}, {"tokens", ids.size()}, {"bytes", text.size()}, {"vocab", tokenizer->vocab_size()}});
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (::isatty(STDOUT_FILENO) && !text.ends_with('\n')) std::fputc('\n', stdout);
}

struct ChatCommand {
  CommonOptions common;
  std::string tokenizer, messages, system, tools, documents, name = "default";
  std::vector<std::string> message, set;
  bool no_generation_prompt = false, ids = false;
};

/// NAME=VALUE of --set: JSON, or a text where it is none.
void add_variable(nlohmann::ordered_json& variables, const std::string& assignment) {
  const auto at = assignment.find('=');
  if (at == 0 || at == assignment.npos) throw UsageError("tokenizer", "--set takes NAME=VALUE, got {}", assignment);
  const auto value = nlohmann::ordered_json::parse(assignment.substr(at + 1), nullptr, /*allow_exceptions=*/false);
  variables[assignment.substr(0, at)] = value.is_discarded() ? nlohmann::ordered_json(assignment.substr(at + 1)) : value;
}

void chat(const ChatCommand& options) {
  if (options.messages.empty() == options.message.empty()) throw UsageError("tokenizer", "expected either --message or --messages");
  const auto tokenizer = load_tokenizer(options.tokenizer);
  const ChatTemplate form(*tokenizer, options.name);
  ChatOptions chat{.add_generation_prompt = !options.no_generation_prompt};
  if (!options.tools.empty()) chat.tools = read_ordered_json(options.tools);
  if (!options.documents.empty()) chat.documents = read_ordered_json(options.documents);
  for (const auto& assignment : options.set) add_variable(chat.variables, assignment);
  const auto text =
      form.render(options.messages.empty() ? messages_of(options.system, options.message) : read_messages(options.messages), chat);
  const auto ids = options.ids || options.common.json ? tokenizer->encode(text, {.add_special_tokens = false}) : std::vector<TokenId>();
  if (options.common.json) return print_json({{"text", text}, {"ids", ids}});
  if (options.ids) std::fputs(ids_as_text(ids).c_str(), stdout);
  else std::fwrite(text.data(), 1, text.size(), stdout);
}

void add_decode(CLI::App& tokenizer) {
  auto* command = tokenizer.add_subcommand("decode", "Turn ids into text");
  auto options = std::make_shared<DecodeCommand>();
  command->add_option("TOKENIZER_OR_MODEL", options->tokenizer, tokenizer_help)->required();
  command->add_option("--file", options->file, "Ids as encode writes them, text or npy")->type_name("FILE");
  auto* ids = command->add_option("--ids", options->ids, "The ids themselves, separated by spaces")->type_name("\"1 2 3\"");
  command->add_flag("--skip-special", options->skip_special, "Leave special tokens out");
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope tokenizer decode my-tokenizer --ids '464 2068 7586 21831'",
                          "isotrope tokenizer decode my-tokenizer --file books.npy > books.txt"});
  command->callback([options, ids] { decode(*options, ids->count() > 0); });
}

void add_chat(CLI::App& tokenizer) {
  auto* command = tokenizer.add_subcommand("chat", "Write messages in the form of a model's chat template");
  auto options = std::make_shared<ChatCommand>();
  command->add_option("TOKENIZER_OR_MODEL", options->tokenizer, tokenizer_help)->required();
  auto* message = command->add_option("--message", options->message, "What the user says; repeated, user and assistant speak in turns")
                      ->type_name("TEXT")
                      ->allow_extra_args(false);
  command->add_option("--system", options->system, "With --message: what the model is told before")->type_name("TEXT")->needs(message);
  command->add_option("--messages", options->messages, "File of messages, JSON: [{\"role\": …, \"content\": …}, …]")
      ->type_name("FILE")
      ->excludes(message);
  command->add_option("--tools", options->tools, "File of JSON schemas of functions, a list")->type_name("FILE");
  command->add_option("--documents", options->documents, "File of documents, a list of objects")->type_name("FILE");
  command->add_option("--template", options->name, "Which of the model's templates")->capture_default_str()->type_name("NAME");
  command->add_option("--set", options->set, "A variable of the template, in JSON or as text (enable_thinking=false); repeatable")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--no-generation-prompt", options->no_generation_prompt, "Do not begin the assistant's turn");
  command->add_flag("--ids", options->ids, "Print the ids instead of the text");
  add_common_options(*command, options->common);
  set_examples(*command, {"isotrope tokenizer chat CHAT_MODEL --system 'Be brief.' --message 'What is gravity?'",
                          "isotrope tokenizer chat CHAT_MODEL --messages dialogue.json --no-generation-prompt --ids"});
  command->callback([options] { chat(*options); });
}

void add_tokenizer(CLI::App& root) {
  auto* tokenizer = root.add_subcommand("tokenizer", "Train a tokenizer; turn text into ids and back, messages into text");
  tokenizer->require_subcommand(1);
  add_tokenizer_train(*tokenizer);
  add_tokenizer_encode(*tokenizer);
  add_decode(*tokenizer);
  add_chat(*tokenizer);
  add_tokenizer_check(*tokenizer);
  set_examples(*tokenizer, {"isotrope tokenizer train --file books.txt --vocab-size 8192 -o my-tokenizer"});
}

const Command tokenizer_command{Order::tokenizer, add_tokenizer};

}  // namespace
}  // namespace isotrope::app

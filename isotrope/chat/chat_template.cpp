#include "isotrope/chat/chat_template.h"

#include <fmt/ranges.h>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/chat/interpreter.h"
#include "isotrope/chat/parser.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::ordered_json;

namespace {

/// Messages without keys that are null, and reasoning under the names that templates look for.
ordered_json plain_messages(const ordered_json& messages) {
  if (!messages.is_array() || messages.empty()) throw InputError("chat", "expected a list of messages with one at least");
  auto out = ordered_json::array();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].is_object()) throw InputError("chat", "message {} is no object with role and content", i + 1);
    const ordered_json* reasoning = nullptr;
    for (const auto* name : {"reasoning_content", "thinking", "reasoning"})
      if (const auto found = messages[i].find(name); !reasoning && found != messages[i].end() && !found->is_null()) reasoning = &*found;
    auto message = ordered_json::object();
    if (reasoning) message["thinking"] = *reasoning;
    for (const auto& [key, value] : messages[i].items())
      if (!value.is_null()) message[key] = value;
    if (reasoning) message["reasoning_content"] = *reasoning;
    out.push_back(std::move(message));
  }
  return out;
}

ordered_json expect_objects(const ordered_json& list, std::string_view what) {
  if (list.is_null()) return list;
  if (!list.is_array()) throw InputError("chat", "{} are a list of objects", what);
  for (const auto& one : list)
    if (!one.is_object()) throw InputError("chat", "{} are a list of objects", what);
  return list;
}

std::string template_named(const ChatSettings& settings, std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [key, text] : settings.templates) {
    if (key == name) return text;
    names.push_back(key);
  }
  if (names.empty()) throw InputError("chat", "the tokenizer has no chat template");
  throw InputError("chat", "the tokenizer has no chat template {} (it has: {})", name, fmt::join(names, ", "));
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source) : root_(chat::parse_template(source)) {}

ChatTemplate::ChatTemplate(const Tokenizer& tokenizer, std::string_view name) {
  const auto settings = tokenizer.chat_settings();
  root_ = chat::parse_template(template_named(settings, name));
  for (const auto& [key, token] : settings.special_tokens) special_tokens_[key] = token;
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const ordered_json& messages, const ChatOptions& options) const {
  auto all = special_tokens_;
  if (!options.variables.is_object()) throw InputError("chat", "the variables of a template are an object");
  all.update(options.variables);
  all["messages"] = plain_messages(messages);
  all["tools"] = expect_objects(options.tools, "tools");
  all["documents"] = expect_objects(options.documents, "documents");
  all["add_generation_prompt"] = options.add_generation_prompt;
  std::vector<std::pair<std::string, chat::Value>> variables;
  for (const auto& [name, value] : all.items()) variables.emplace_back(name, chat::Value::from_json(value));
  chat::Interpreter interpreter({.now = options.now.value_or(std::time(nullptr))}, std::move(variables));
  return interpreter.run(*root_);
}

ordered_json read_ordered_json(const std::filesystem::path& path) {
  try {
    return ordered_json::parse(read_file(path, "chat"));
  } catch (const nlohmann::json::exception& error) {
    throw InputError("chat", "{}: is no JSON: {}", path.string(), error.what());
  }
}

ordered_json read_messages(const std::filesystem::path& path) {
  auto json = read_ordered_json(path);
  if (json.is_object() && json.contains("messages")) json = ordered_json(json["messages"]);
  if (!json.is_array()) throw InputError("chat", "{}: expected a list of messages, or an object with messages", path.string());
  return json;
}

ordered_json messages_of(std::string_view system, const std::vector<std::string>& turns) {
  auto out = ordered_json::array();
  if (!system.empty()) out.push_back({{"role", "system"}, {"content", replace_invalid_utf8(system)}});
  for (std::size_t i = 0; i < turns.size(); ++i)
    out.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", replace_invalid_utf8(turns[i])}});
  return out;
}

}  // namespace isotrope

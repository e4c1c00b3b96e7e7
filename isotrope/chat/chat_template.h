#pragma once

#include <ctime>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/tokenizer.h"

namespace isotrope {

namespace chat {
struct Node;
}

/// What a chat template gets besides the messages, as transformers' apply_chat_template gives it.
struct ChatOptions {
  bool add_generation_prompt = false;
  nlohmann::ordered_json tools;                                         ///< a list of JSON schemas of functions, or null
  nlohmann::ordered_json documents;                                     ///< a list of objects, or null
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();  ///< more names; they go before special tokens of the same name
  std::optional<std::time_t> now;                                       ///< for strftime_now; the clock's by default
};

/// A chat template in the subset of Jinja that docs/formats/chat_template.md describes, in the environment of transformers 5.23 (trim_blocks,
/// lstrip_blocks, loop controls, {% generation %}, tojson, raise_exception, strftime_now). Rendering costs bounded time, memory and stack, whatever
/// the template does. Immutable: one object serves any number of threads.
class ChatTemplate {
 public:
  /// InputError with the line for what is no Jinja and for what is outside the subset, by name.
  explicit ChatTemplate(std::string_view source);
  /// The tokenizer's template of that name, and its special tokens as variables. InputError where it has none, with the names that there are.
  explicit ChatTemplate(const Tokenizer& tokenizer, std::string_view name = "default");
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  /// The text of a list of messages {"role": …, "content": …, …}; keys that are null are left out. InputError for no messages, for what the
  /// template refuses (raise_exception) and for its mistakes, with the line.
  std::string render(const nlohmann::ordered_json& messages, const ChatOptions& options = {}) const;

 private:
  std::unique_ptr<const chat::Node> root_;
  nlohmann::ordered_json special_tokens_ = nlohmann::ordered_json::object();
};

/// The JSON of a file, objects in their order; of a list of messages also where it is the value of "messages". InputError for a broken file.
nlohmann::ordered_json read_ordered_json(const std::filesystem::path& path);
nlohmann::ordered_json read_messages(const std::filesystem::path& path);
/// The system's words, unless empty, then what user and assistant say in turns.
nlohmann::ordered_json messages_of(std::string_view system, const std::vector<std::string>& turns);

}  // namespace isotrope

// Any bytes as a chat template: a text, or an error of ours, within its limits.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/chat/interpreter.h"
#include "isotrope/chat/parser.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using isotrope::chat::Value;
  static const auto messages = nlohmann::ordered_json::parse(
      R"([{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "Ünï\n1,2"}, {"role": "assistant", "content": "<think>a</think>b", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1.5}}}]}])");
  try {
    const auto root = isotrope::chat::parse_template({reinterpret_cast<const char*>(data), size});
    // Smaller limits than a user's, for more inputs a second.
    isotrope::chat::Interpreter interpreter({.budget = 1 << 16, .longest_output = 1 << 16}, {{"messages", Value::from_json(messages)},
                                                                                             {"bos_token", "<s>"},
                                                                                             {"eos_token", "</s>"},
                                                                                             {"tools", Value()},
                                                                                             {"add_generation_prompt", true}});
    (void)interpreter.run(*root);
  } catch (const isotrope::Error&) {
    // what broken templates are answered with
  }
  return 0;
}

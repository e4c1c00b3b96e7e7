#pragma once

#include <string>
#include <utility>
#include <vector>

namespace isotrope {

/// What a tokenizer's files say about chats: templates by name ("default", "tool_use" …), and special tokens by the names that templates know
/// ("bos_token" …).
struct ChatSettings {
  std::vector<std::pair<std::string, std::string>> templates, special_tokens;
};

}  // namespace isotrope

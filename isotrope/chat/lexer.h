#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace isotrope::chat {

struct Token {
  enum class Kind { data, print_begin, print_end, block_begin, block_end, name, integer, number, text, sign, end } kind;
  std::string text;  ///< data, name, digits, the text without quotes and escapes, the sign
  int line;
};

/// The tokens of a template with trim_blocks and lstrip_blocks, one line end at its end left away, as Jinja 3.1 reads it. InputError with the line.
std::vector<Token> read_tokens(std::string_view source);

}  // namespace isotrope::chat

#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/chat/lexer.h"

namespace isotrope::chat {

/// Goes through a template's tokens, of which the last is the end; errors name the line of the present one.
class TokenReader {
 public:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) const {
    throw InputError("chat", "line {} of the template: {}", now().line, fmt::format(text, std::forward<Args>(args)...));
  }
  const Token& now() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  bool at_sign(std::string_view sign) const { return now().kind == Token::Kind::sign && now().text == sign; }
  bool at_name(std::string_view name) const { return now().kind == Token::Kind::name && now().text == name; }
  bool take_sign(std::string_view sign) { return at_sign(sign) && (take(), true); }
  bool take_name(std::string_view name) { return at_name(name) && (take(), true); }
  void expect_sign(std::string_view sign) {
    if (!take_sign(sign)) fail("expected {}, found {}", sign, found());
  }
  void expect_name(std::string_view name) {
    if (!take_name(name)) fail("expected {}, found {}", name, found());
  }
  std::string expect_any_name() {
    if (now().kind != Token::Kind::name) fail("expected a name, found {}", found());
    return take().text;
  }
  void end_of_block() {
    if (now().kind != Token::Kind::block_end) fail("expected the end of the block, found {}", found());
    take();
  }
  std::string found() const {
    switch (now().kind) {
      case Token::Kind::block_end: return "the end of the block";
      case Token::Kind::print_end: return "the end of the expression";
      case Token::Kind::end: return "the end of the template";
      case Token::Kind::text: return "a text";
      default: return now().text;
    }
  }

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

}  // namespace isotrope::chat

#include "isotrope/chat/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "isotrope/base/error.h"
#include "isotrope/chat/value.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::chat {

namespace {

using std::string_view;

constexpr std::array<string_view, 26> signs = {"//", "**", "==", "!=", "<=", ">=", "+", "-", "/", "*", "%", "~", "[",
                                               "]",  "(",  ")",  "{",  "}",  "<",  ">", "=", ".", ":", "|", ",", ";"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const auto tag = next_tag();
      const auto begin = source_.substr(tag, 2);
      if (tag == source_.size()) {
        push_data(source_.substr(at_));
        break;
      }
      if (begin == "{{") {
        data_before(tag, false);
        push(Token::Kind::print_begin);
        inside("}}", Token::Kind::print_end);
      } else if (begin == "{#") {
        data_before(tag, true);
        comment();
      } else if (const auto raw_end = raw_begin(tag)) {
        data_before(tag, true);
        advance(*raw_end);
        raw();
      } else {
        data_before(tag, true);
        push(Token::Kind::block_begin);
        inside("%}", Token::Kind::block_end);
      }
    }
    push(Token::Kind::end);
    return std::move(tokens_);
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) const {
    throw InputError("chat", "line {} of the template: {}", line_, fmt::format(text, std::forward<Args>(args)...));
  }

  string_view rest() const { return string_view(source_).substr(at_); }
  void push(Token::Kind kind, std::string text = {}) { tokens_.push_back({kind, std::move(text), line_}); }
  void push_data(std::string text) {
    if (!text.empty()) push(Token::Kind::data, std::move(text));
  }
  void advance(std::size_t to) {
    line_ += static_cast<int>(
        std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_), source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    starts_line_ = to > 0 && source_[to - 1] == '\n';
    at_ = to;
  }

  std::size_t next_tag() const {
    for (auto i = source_.find('{', at_); i != source_.npos && i + 1 < source_.size(); i = source_.find('{', i + 1))
      if (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#') return i;
    return source_.size();
  }

  std::size_t past_spaces(std::size_t at) const {
    while (at < source_.size()) {
      auto after = at;
      if (!is_python_space(next_code_point(source_, after))) break;
      at = after;
    }
    return at;
  }

  /// The text before a tag, less what the tag's sign or lstrip_blocks take away; leaves at_ behind the tag's sign.
  void data_before(std::size_t tag, bool strips_line) { data_upto(tag, tag + 2, strips_line); }
  void data_upto(std::size_t tag, std::size_t behind, bool strips_line) {
    auto text = source_.substr(at_, tag - at_);
    const char sign = behind < source_.size() ? source_[behind] : '\0';
    if (sign == '-') {
      std::size_t end = 0;
      for (std::size_t i = 0; i < text.size();)
        if (!is_python_space(next_code_point(text, i))) end = i;
      text.resize(end);
    } else if (sign != '+' && strips_line) {
      const auto line_end = text.rfind('\n');
      const auto begin = line_end == text.npos ? 0 : line_end + 1;
      if (begin > 0 || starts_line_) {
        bool blank = begin < text.size();
        for (auto i = begin; i < text.size() && blank;) blank = is_python_space(next_code_point(text, i));
        if (blank) text.resize(begin);
      }
    }
    push_data(std::move(text));
    advance(sign == '-' || sign == '+' ? behind + 1 : behind);
  }

  /// Behind the end of a block or comment that stands at `at` ("%}", "-%}", "+%}"), with the line end that it takes along; nothing if none does.
  std::optional<std::size_t> end_of_tag(std::size_t at, string_view end) const {
    const auto here = string_view(source_).substr(at);
    if (here.starts_with('-') && here.substr(1).starts_with(end)) return past_spaces(at + 1 + end.size());
    if (end == "}}") return here.starts_with(end) ? std::optional(at + end.size()) : std::nullopt;
    if (here.starts_with('+') && here.substr(1).starts_with(end)) return at + 1 + end.size();
    if (!here.starts_with(end)) return std::nullopt;
    const auto behind = at + end.size();
    return behind < source_.size() && source_[behind] == '\n' ? behind + 1 : behind;
  }

  void comment() {
    for (auto i = at_; i < source_.size(); ++i)
      if (const auto behind = end_of_tag(i, "#}")) return advance(*behind);
    fail("a comment has no end");
  }

  /// Behind "{% raw %}" at `tag`, which takes no line end along.
  std::optional<std::size_t> raw_begin(std::size_t tag) const {
    auto at = tag + 2;
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) ++at;
    at = past_spaces(at);
    if (!string_view(source_).substr(at).starts_with("raw")) return std::nullopt;
    at = past_spaces(at + 3);
    const auto here = string_view(source_).substr(at);
    if (here.starts_with("-%}")) return past_spaces(at + 3);
    return here.starts_with("%}") ? std::optional(at + 2) : std::nullopt;
  }

  void raw() {
    for (auto i = at_; i + 1 < source_.size(); ++i) {
      if (source_[i] != '{' || source_[i + 1] != '%') continue;
      auto at = i + 2;
      if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) ++at;
      at = past_spaces(at);
      if (!string_view(source_).substr(at).starts_with("endraw")) continue;
      const auto behind = end_of_tag(past_spaces(at + 6), "%}");
      if (!behind) continue;
      data_upto(i, i + 2, true);
      return advance(*behind);
    }
    fail("{{% raw %}} has no {{% endraw %}}");
  }

  void inside(string_view end, Token::Kind end_kind) {
    std::string open;  // brackets to be closed
    while (true) {
      advance(past_spaces(at_));
      if (at_ >= source_.size()) fail("a tag has no {}", end);
      if (open.empty())
        if (const auto behind = end_of_tag(at_, end)) {
          push(end_kind);
          return advance(*behind);
        }
      const char c = source_[at_];
      if (c == '\'' || c == '"') text(c);
      else if (is_digit(c)) number();
      else if (const auto length = length_of_name()) {
        push(Token::Kind::name, source_.substr(at_, length));
        advance(at_ + length);
      } else sign(open);
    }
  }

  void sign(std::string& open) {
    for (const auto one : signs) {
      if (!rest().starts_with(one)) continue;
      if (one == "(" || one == "[" || one == "{") open += one == "(" ? ')' : one == "[" ? ']' : '}';
      if (one == ")" || one == "]" || one == "}") {
        if (open.empty()) fail("unexpected {}", one);
        if (open.back() != one.front()) fail("unexpected {}, expected {}", one, open.back());
        open.pop_back();
      }
      push(Token::Kind::sign, std::string(one));
      return advance(at_ + one.size());
    }
    std::size_t behind = at_;
    next_code_point(source_, behind);
    fail("unexpected character {}", source_.substr(at_, behind - at_));
  }

  std::size_t length_of_name() const {
    auto at = at_;
    while (at < source_.size()) {
      auto behind = at;
      const auto c = next_code_point(source_, behind);
      if (!(c == '_' || UnicodeTable::instance().is_word(c))) break;
      at = behind;
    }
    return at - at_;
  }

  /// Digits with single underscores between them, from `at` on; their end.
  std::size_t digits(std::size_t at) const {
    while (at < source_.size() && (is_digit(source_[at]) || (source_[at] == '_' && is_digit(source_[at - 1]) && at + 1 < source_.size() &&
                                                             is_digit(source_[at + 1]))))
      ++at;
    return at;
  }

  void number() {
    if (source_[at_] == '0' && at_ + 1 < source_.size() && std::isalpha(static_cast<unsigned char>(source_[at_ + 1])) &&
        source_[at_ + 1] != 'e' && source_[at_ + 1] != 'E')
      fail("numbers are written with decimal digits");
    auto end = digits(at_);
    bool whole = true;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) end = digits(end + 1), whole = false;
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      auto exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
      if (exponent < source_.size() && is_digit(source_[exponent])) end = digits(exponent), whole = false;
    }
    auto text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    if (whole && text.size() > 1 && text.front() == '0' && text.find_first_not_of('0') != text.npos)
      fail("the number {} begins with 0", text);
    push(whole ? Token::Kind::integer : Token::Kind::number, std::move(text));
    advance(end);
  }

  char32_t code(std::size_t& i, int longest, int base, bool exactly) {
    char32_t out = 0;
    int count = 0;
    const auto is_place = [&](char c) { return base == 16 ? is_hex(c) : c >= '0' && c <= '7'; };
    for (; count < longest && i < source_.size() && is_place(source_[i]); ++i, ++count)
      out =
          out * static_cast<char32_t>(base) + static_cast<char32_t>(is_digit(source_[i]) ? source_[i] - '0' : (source_[i] | 32) - 'a' + 10);
    if (exactly && count < longest) fail("an escape in a text ends early");
    if (out >= 0x110000 || (out >= 0xD800 && out < 0xE000)) fail("an escape in a text is no character");
    return out;
  }

  void text(char quote) {
    std::string out;
    auto i = at_ + 1;
    for (; i < source_.size() && source_[i] != quote;) {
      if (source_[i] != '\\') {
        out += source_[i++];
        continue;
      }
      if (++i >= source_.size()) break;
      const char c = source_[i++];
      switch (c) {
        case 'n': out += '\n'; break;
        case 't': out += '\t'; break;
        case 'r': out += '\r'; break;
        case 'a': out += '\a'; break;
        case 'b': out += '\b'; break;
        case 'f': out += '\f'; break;
        case 'v': out += '\v'; break;
        case '\n': break;
        case '\\':
        case '\'':
        case '"': out += c; break;
        case 'x': append_utf8(out, code(i, 2, 16, true)); break;
        case 'u': append_utf8(out, code(i, 4, 16, true)); break;
        case 'U': append_utf8(out, code(i, 8, 16, true)); break;
        case 'N': fail("\\N{{…}} in a text is not supported");
        default:
          if (c >= '0' && c <= '7') append_utf8(out, code(--i, 3, 8, false));
          else out += '\\', out += c;
      }
    }
    if (i >= source_.size()) fail("a text has no end");
    push(Token::Kind::text, std::move(out));
    advance(i + 1);
  }

  std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool starts_line_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> read_tokens(string_view source) {
  if (const auto broken = check_utf8(source)) throw InputError("chat", "byte {} of the template is not UTF-8", *broken);
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return Lexer(std::move(text)).run();
}

}  // namespace isotrope::chat

#include "isotrope/chat/texts.h"

#include <algorithm>
#include <charconv>

#include "isotrope/base/error.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::chat {

namespace {

using std::string_view;

bool is_ascii(string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}
char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

void expect_ascii_letters(string_view text, string_view what) {
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at;
    const auto c = next_code_point(text, at);
    if (c < 0x80) continue;
    const auto category = UnicodeTable::instance().category(c);
    // Letters in circles, Roman numbers and one mark have case without being letters; ª and letters above the line count as small.
    const bool has_case = category == Category::Lu || category == Category::Ll || category == Category::Lt || category == Category::Lm ||
                          c == 0xAA || c == 0xBA || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x2160 && c <= 0x2188) || c == 0x345 ||
                          (c >= 0x1F130 && c <= 0x1F189);
    if (has_case) throw InputError("chat", "{} is only there for texts in ASCII, not for {}", what, text.substr(begin, at - begin));
  }
}

void spend_search(Budget& budget, string_view text, string_view what) {
  budget.spend(1 + text.size() / 16 + text.size() / 64 * what.size());
}

std::string lower(string_view text) {
  std::string out(text);
  if (!is_ascii(text)) expect_ascii_letters(text, "lower");
  std::ranges::transform(out, out.begin(), ascii_lower);
  return out;
}

std::string upper(string_view text) {
  std::string out(text);
  if (!is_ascii(text)) expect_ascii_letters(text, "upper");
  std::ranges::transform(out, out.begin(), ascii_upper);
  return out;
}

std::string capitalize(string_view text) {
  auto out = lower(text);
  if (!out.empty()) out.front() = ascii_upper(out.front());
  return out;
}

bool is_lower(string_view text) {
  expect_ascii_letters(text, "lower");
  return std::ranges::none_of(text, [](char c) { return c >= 'A' && c <= 'Z'; }) &&
         std::ranges::any_of(text, [](char c) { return c >= 'a' && c <= 'z'; });
}

bool is_upper(string_view text) {
  expect_ascii_letters(text, "upper");
  return std::ranges::none_of(text, [](char c) { return c >= 'a' && c <= 'z'; }) &&
         std::ranges::any_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
}

std::string strip(string_view text, const Value& which, bool left, bool right) {
  if (!which.is_none() && !which.is_text()) throw InputError("chat", "what is stripped is a text of characters, not {}", which.type_name());
  std::u32string set;
  if (which.is_text())
    for (std::size_t at = 0; at < which.text().size();) set += next_code_point(which.text(), at);
  std::ranges::sort(set);
  const auto goes = [&](char32_t c) { return which.is_text() ? std::ranges::binary_search(set, c) : is_python_space(c); };
  std::size_t begin = 0, end = text.size();
  if (left)
    while (begin < text.size()) {
      auto behind = begin;
      if (!goes(next_code_point(text, behind))) break;
      begin = behind;
    }
  if (right)
    while (end > begin) {
      auto before = end - 1;
      while (before > begin && (static_cast<unsigned char>(text[before]) & 0xC0) == 0x80) --before;
      auto at = before;
      if (!goes(next_code_point(text, at))) break;
      end = before;
    }
  return std::string(text.substr(begin, end - begin));
}

std::string replace(string_view text, string_view from, string_view to, std::int64_t count, Budget& budget) {
  std::string out;
  const auto append = [&](string_view more) {
    out += more;
    budget.spend_bytes(more.size());
  };
  spend_search(budget, text, from);
  std::size_t at = 0;
  if (from.empty()) {  // before every character and at the end
    for (; count != 0; --count) {
      append(to);
      if (at >= text.size()) break;
      const auto begin = at;
      next_code_point(text, at);
      append(text.substr(begin, at - begin));
    }
  } else {
    for (; count != 0; --count) {
      const auto found = text.find(from, at);
      if (found == text.npos) break;
      append(text.substr(at, found - at));
      append(to);
      at = found + from.size();
    }
  }
  if (at < text.size()) append(text.substr(at));
  return out;
}

std::vector<std::string> split_lines(string_view text, bool keep_ends) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = at;
    const auto c = next_code_point(text, at);
    const bool ends = (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    out.emplace_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) out.emplace_back(text.substr(begin));
  return out;
}

namespace {

constexpr std::size_t longest_number = 1000;  // characters

/// A number as std::from_chars reads it: no white space around, no underscore between digits, no plus. Nothing for two signs.
std::optional<std::string> plain_number(string_view text) {
  const auto all = strip(text, {}, true, true);
  if (all.size() > longest_number) throw InputError("chat", "a number has more than {} characters", longest_number);
  const auto is_digit = [&](std::size_t i) { return i < all.size() && all[i] >= '0' && all[i] <= '9'; };
  std::string out;
  for (std::size_t i = all.starts_with('+') ? 1 : 0; i < all.size(); ++i)
    if (all[i] != '_' || i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) out += all[i];
  if (all.starts_with('+') && out.starts_with('-')) return std::nullopt;
  return out;
}

}  // namespace

std::optional<std::int64_t> read_integer(string_view text) {
  const auto digits = plain_number(text);
  if (!digits || digits->empty()) return std::nullopt;
  for (std::size_t at = 0; at < digits->size();)
    if (const auto c = next_code_point(*digits, at); c >= 0x80 && UnicodeTable::instance().category(c) == Category::Nd)
      throw InputError("chat", "numbers are read in ASCII digits, not {}", *digits);
  std::int64_t value = 0;
  const auto* end = digits->data() + digits->size();
  const auto read = std::from_chars(digits->data(), end, value);
  if (read.ptr != end) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) throw InputError("chat", "the number {} has more than 64 bits", *digits);
  return read.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<double> read_real(string_view text) {
  const auto digits = plain_number(text);
  if (!digits || digits->empty() || digits->find('(') != digits->npos) return std::nullopt;  // no nan(…)
  double value = 0;
  const auto* end = digits->data() + digits->size();
  const auto read = std::from_chars(digits->data(), end, value);
  if (read.ptr != end) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) return std::strtod(digits->c_str(), nullptr);
  return read.ec == std::errc() ? std::optional(value) : std::nullopt;
}

bool is_word_character(char32_t c) { return UnicodeTable::instance().is_word(c); }

}  // namespace isotrope::chat

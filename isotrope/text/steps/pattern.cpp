#include "isotrope/text/steps/pattern.h"

#include <utility>

#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

/// By pattern the spelling that is written, then others.
constexpr std::pair<Pattern, std::string_view> pattern_texts[] = {
    {Pattern::gpt2, R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {Pattern::llama3,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {Pattern::qwen2, R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {Pattern::cl100k,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {Pattern::o200k, R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
                     R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
                     R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    // Other spellings of the same.
    {Pattern::gpt2, R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {Pattern::llama3, R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"},
};

/// A text and the classes of its characters; all positions are byte offsets.
class Scanner {
 public:
  Scanner(const UnicodeTable& table, std::string_view text) : table_(table), text_(text) {}

  bool at_end(std::size_t position) const { return position >= text_.size(); }
  char byte(std::size_t position) const { return at_end(position) ? '\0' : text_[position]; }
  bool is_newline(std::size_t position) const { return !at_end(position) && (text_[position] == '\n' || text_[position] == '\r'); }

  /// The kind of the character at `position`, which moves past it.
  CharKind take(std::size_t& position) const {
    const auto lead = static_cast<unsigned char>(text_[position]);
    if (lead < 0x80) return ++position, table_.kind(lead);
    return table_.kind(next_code_point(text_, position));
  }
  bool is(CharKind kind, std::size_t position) const { return !at_end(position) && take(position) == kind; }

  /// The end of the run of `kind` that starts at `position`, at most `limit` characters.
  std::size_t run(CharKind kind, std::size_t position, std::size_t limit = ~std::size_t{0}) const {
    for (std::size_t end = position; limit > 0 && !at_end(end) && take(end) == kind; --limit) position = end;
    return position;
  }

  /// \s+(?!\S)|\s+ : a run of white space without its last character when something follows, unless that is all of it.
  std::size_t white_space(std::size_t position) const {
    std::size_t end = position, last = position;
    for (std::size_t next = position; !at_end(next) && take(next) == CharKind::space;) last = std::exchange(end, next);
    return at_end(end) || last == position ? end : last;
  }

  /// \s*[\r\n]+|\s+(?!\S)|\s+
  std::size_t line_ends_or_spaces(std::size_t start) const {
    for (auto end = run(CharKind::space, start); end > start; --end)
      if (is_newline(end - 1)) return end;
    return white_space(start);
  }

  Category take_category(std::size_t& position) const { return table_.category(next_code_point(text_, position)); }
  Category category(std::size_t position) const { return take_category(position); }
  /// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and [\p{Ll}\p{Lm}\p{Lo}\p{M}]
  static bool is_capital(Category category) { return category <= Category::Me && category != Category::Ll; }
  static bool is_small(Category category) { return category <= Category::Me && category != Category::Lu && category != Category::Lt; }

  /// The end of 's, 't, 'm, 'd, 're, 've or 'll at an apostrophe, or `position` when there is none.
  std::size_t contraction(std::size_t position, bool any_case) const {
    const char bytes[3] = {'\'', byte(position + 1), byte(position + 2)};
    return position + contraction_length(bytes, any_case);
  }

 private:
  const UnicodeTable& table_;
  std::string_view text_;
};

std::size_t gpt2_end(const Scanner& scan, std::size_t start) {
  if (scan.byte(start) == '\'') {
    if (const auto end = scan.contraction(start, false); end > start) return end;
  }
  const std::size_t body = scan.byte(start) == ' ' && !scan.at_end(start + 1) ? start + 1 : start;
  std::size_t after = body;
  const CharKind kind = scan.take(after);
  return kind == CharKind::space ? scan.white_space(start) : scan.run(kind, after);
}

std::size_t llama3_end(const Scanner& scan, std::size_t start, std::size_t digits) {
  if (scan.byte(start) == '\'') {
    if (const auto end = scan.contraction(start, true); end > start) return end;
  }
  std::size_t second = start;
  const CharKind kind = scan.take(second);
  if (kind == CharKind::letter) return scan.run(CharKind::letter, second);
  if (kind == CharKind::number) return scan.run(CharKind::number, second, digits - 1);
  if (!scan.is_newline(start) && scan.is(CharKind::letter, second)) return scan.run(CharKind::letter, second);
  if (kind == CharKind::other || (scan.byte(start) == ' ' && scan.is(CharKind::other, second))) {
    auto end = scan.run(CharKind::other, second);
    while (scan.is_newline(end)) ++end;
    return end;
  }
  return scan.line_ends_or_spaces(start);
}

/// White space at the end of the text is one piece; otherwise as Llama 3.
std::size_t cl100k_end(const Scanner& scan, std::size_t start) {
  const auto run_end = scan.run(CharKind::space, start);
  return run_end > start && scan.at_end(run_end) ? run_end : llama3_end(scan, start, 3);
}

/// The end of a word of o200k that begins at `start`, or `start` where none does: capitals, then at least one small letter; without
/// `needs_small`, at least one capital. What is neither, such as a mark, counts for both, and is given back where that helps.
std::size_t o200k_word_end(const Scanner& scan, std::size_t start, bool needs_small) {
  std::size_t end = start, small = start;  // small: behind the last of the capitals that is a small letter, too
  for (std::size_t next = start; !scan.at_end(next) && scan.is_capital(scan.take_category(next));) {
    if (scan.is_small(scan.category(end))) small = next;
    end = next;
  }
  const auto capitals_end = end;
  for (std::size_t next = end; !scan.at_end(next) && scan.is_small(scan.take_category(next));) end = next;
  if (needs_small && end == capitals_end) end = small;
  return end > start && scan.byte(end) == '\'' ? scan.contraction(end, true) : end;
}

std::size_t o200k_end(const Scanner& scan, std::size_t start) {
  std::size_t second = start;
  const auto kind = scan.take(second);
  if (kind == CharKind::number) return scan.run(CharKind::number, second, 2);
  const bool may_lead = kind != CharKind::letter && !scan.is_newline(start);
  for (const bool needs_small : {true, false}) {
    if (may_lead)
      if (const auto end = o200k_word_end(scan, second, needs_small); end > second) return end;
    if (const auto end = o200k_word_end(scan, start, needs_small); end > start) return end;
  }
  if (kind == CharKind::other || (scan.byte(start) == ' ' && scan.is(CharKind::other, second))) {
    auto end = scan.run(CharKind::other, second);
    while (scan.is_newline(end) || scan.byte(end) == '/') ++end;
    return end;
  }
  return scan.line_ends_or_spaces(start);
}

}  // namespace

std::string_view pattern_text(Pattern pattern) { return pattern_texts[static_cast<std::size_t>(pattern)].second; }

std::optional<Pattern> find_pattern(std::string_view text) {
  for (const auto& [pattern, spelling] : pattern_texts)
    if (spelling == text) return pattern;
  return std::nullopt;
}

std::size_t next_piece(Pattern pattern, const UnicodeTable& table, std::string_view text, std::size_t position) {
  const Scanner scan(table, text);
  switch (pattern) {
    case Pattern::gpt2: return gpt2_end(scan, position) - position;
    case Pattern::llama3: return llama3_end(scan, position, 3) - position;
    case Pattern::qwen2: return llama3_end(scan, position, 1) - position;
    case Pattern::cl100k: return cl100k_end(scan, position) - position;
    case Pattern::o200k: return o200k_end(scan, position) - position;
  }
  return text.size() - position;
}

}  // namespace isotrope

#include "isotrope/text/steps/pattern_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

/// The ranges of the code points that `belongs` holds for, as the inside of a PCRE2 class. Surrogates never occur in valid text.
template <class Belongs>
std::string class_ranges(const Belongs& belongs) {
  std::string ranges;
  for (char32_t first = 0; first < code_point_count;) {
    const bool surrogate = first >= 0xD800 && first < 0xE000;
    if (surrogate || !belongs(first)) {
      ++first;
      continue;
    }
    char32_t last = first;
    while (last + 1 < code_point_count && last + 1 != 0xD800 && belongs(last + 1)) ++last;
    ranges += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last));
    first = last + 1;
  }
  return ranges;
}

/// Rewrites an Oniguruma pattern, as HF tokenizers read it, for PCRE2.
class Rewriter {
 public:
  Rewriter(std::string_view pattern, std::string_view file) : pattern_(pattern), file_(file), table_(UnicodeTable::instance()) {}

  std::string rewrite() {
    while (position_ < pattern_.size()) step();
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw InputError("tokenizer", "{}: the Split pattern {} uses {}, which is not supported", file_, pattern_, what);
  }
  char peek(std::size_t ahead = 0) const { return position_ + ahead < pattern_.size() ? pattern_[position_ + ahead] : '\0'; }

  void step() {
    const char c = peek();
    if (c == '\\') return escape();
    if (in_class_) {
      if (c == '[') refuse("a class inside a class");
      if (c == '&' && peek(1) == '&') refuse("an intersection of classes (&&)");
      if (c == ']' && !class_is_empty_) in_class_ = false;
      class_is_empty_ = false;
    } else if (c == '[') {
      in_class_ = class_is_empty_ = true;
      if (peek(1) == '^') result_ += pattern_[position_++];
    } else if (c == '(' && peek(1) == '?') {
      flags();
    } else if (c == '}' && peek(1) == '+') {
      refuse("the quantifier {n,m}+");  // possessive in PCRE2, a repetition of the repetition in Oniguruma
    }
    result_ += pattern_[position_++];
  }

  /// (?flags) and (?flags: take i alone: m means another thing in Oniguruma. Look-around and named groups pass.
  void flags() const {
    for (std::size_t i = position_ + 2; i < pattern_.size() && (pattern_[i] == '-' || (pattern_[i] >= 'a' && pattern_[i] <= 'z')); ++i)
      if (pattern_[i] != 'i' && pattern_[i] != '-') refuse(fmt::format("the group (?{}", pattern_[i]));
    if (peek(2) == 'P' || peek(2) == '(' || peek(2) == '&' || peek(2) == 'R') refuse(fmt::format("the group (?{}", peek(2)));
  }

  void escape() {
    const char letter = peek(1);
    position_ += 2;
    class_is_empty_ = false;
    switch (letter) {
      case 'p':
      case 'P': return property(letter == 'P');
      case 's':
      case 'S': return put_class(letter == 'S', [&](char32_t c) { return table_.is_space(c); });
      case 'd':
      case 'D': return put_class(letter == 'D', [&](char32_t c) { return table_.category(c) == Category::Nd; });
      case 'w':
      case 'W': return put_class(letter == 'W', [&](char32_t c) { return is_word(table_.category(c)); });
      case 'v': result_ += "\\x0B"; return;
      case 'u': return unicode_escape();
      case '\0': refuse("a \\ at its end");
      default: break;
    }
    const bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9');
    if (is_letter && std::string_view("nrtfeaxAzZ").find(letter) == std::string_view::npos) refuse(fmt::format("\\{}", letter));
    (result_ += '\\') += letter;
  }

  static bool is_word(Category category) { return category <= Category::Nd || category == Category::Pc; }

  void unicode_escape() {
    const auto digits = pattern_.substr(position_, 4);
    if (digits.size() != 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
      refuse("\\u without four digits");
    result_ += fmt::format("\\x{{{}}}", digits);
    position_ += 4;
  }

  void property(bool negated) {
    const auto end = pattern_.find('}', position_);
    if (peek() != '{' || end == std::string_view::npos) refuse("\\p without {…}");
    auto name = pattern_.substr(position_ + 1, end - position_ - 1);
    position_ = end + 1;
    if (name.starts_with('^')) negated = !negated, name.remove_prefix(1);
    if (name.size() == 1 && std::string_view("LMNPSZC").find(name[0]) != std::string_view::npos)
      return put_class(negated, [&](char32_t c) { return category_group(table_.category(c)) == name[0]; });
    const auto category = find_category(name);
    if (!category) refuse(fmt::format("the property \\p{{{}}}", name));
    put_class(negated, [&](char32_t c) { return table_.category(c) == *category; });
  }

  static char category_group(Category category) {
    if (category <= Category::Lo) return 'L';
    if (category <= Category::Me) return 'M';
    if (category <= Category::No) return 'N';
    if (category <= Category::Po) return 'P';
    if (category <= Category::So) return 'S';
    return category <= Category::Zp ? 'Z' : 'C';
  }

  template <class Belongs>
  void put_class(bool negated, const Belongs& belongs) {
    const auto ranges = class_ranges([&](char32_t c) { return belongs(c) != negated; });
    result_ += in_class_ ? ranges : "[" + ranges + "]";
  }

  std::string_view pattern_, file_;
  const UnicodeTable& table_;
  std::string result_;
  std::size_t position_ = 0;
  bool in_class_ = false, class_is_empty_ = false;
};

std::string pcre_message(int code) {
  PCRE2_UCHAR8 text[256] = {};
  pcre2_get_error_message_8(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

/// Enough for any sensible pattern on any text, and a bound on patterns that backtrack without end.
constexpr std::uint32_t match_limit = 10'000'000;
constexpr std::size_t longest_pattern = 1024;

}  // namespace

struct PatternRegex::Code {
  pcre2_code_8* code = nullptr;
  pcre2_match_context_8* context = nullptr;
  ~Code() {
    pcre2_match_context_free_8(context);
    pcre2_code_free_8(code);
  }
};

PatternRegex::PatternRegex(std::string_view pattern, bool literal, std::string_view file)
    : code_(std::make_unique<Code>()), pattern_(pattern) {
  if (pattern.empty()) throw InputError("tokenizer", "{}: the Split pattern is empty", file);
  if (pattern.size() > longest_pattern)
    throw InputError("tokenizer", "{}: the Split pattern has {} bytes, more than the limit of {}", file, pattern.size(), longest_pattern);
  const std::string rewritten = literal ? std::string(pattern) : Rewriter(pattern, file).rewrite();
  const std::unique_ptr<pcre2_compile_context_8, void (*)(pcre2_compile_context_8*)> context(pcre2_compile_context_create_8(nullptr),
                                                                                             pcre2_compile_context_free_8);
  pcre2_set_newline_8(context.get(), PCRE2_NEWLINE_LF);
  const std::uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(rewritten.data()), rewritten.size(), options, &error, &offset, context.get());
  if (!code_->code) throw InputError("tokenizer", "{}: the Split pattern {} does not compile: {}", file, pattern, pcre_message(error));
  pcre2_jit_compile_8(code_->code, PCRE2_JIT_COMPLETE);  // without it matching is slower and as correct
  code_->context = pcre2_match_context_create_8(nullptr);
  pcre2_set_match_limit_8(code_->context, match_limit);
}

PatternRegex::~PatternRegex() = default;

void PatternRegex::split(std::string_view text, const Visit& visit) const {
  split_with_empty_matches(text, [&](std::string_view piece, bool is_match) {
    if (!piece.empty()) visit(piece, is_match);
  });
}

bool PatternRegex::may_match_nothing() const {
  std::uint32_t empty = 0;
  pcre2_pattern_info_8(code_->code, PCRE2_INFO_MATCHEMPTY, &empty);
  return empty != 0;
}

void PatternRegex::split_with_empty_matches(std::string_view text, const Visit& visit) const {
  if (text.empty()) return;
  const std::unique_ptr<pcre2_match_data_8, void (*)(pcre2_match_data_8*)> data(
      pcre2_match_data_create_from_pattern_8(code_->code, nullptr), pcre2_match_data_free_8);
  std::size_t done = 0, from = 0;
  bool any = false;
  while (from <= text.size()) {
    const int count = pcre2_match_8(code_->code, reinterpret_cast<PCRE2_SPTR8>(text.data()), text.size(), from, PCRE2_NO_UTF_CHECK,
                                    data.get(), code_->context);
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0)
      throw InputError("tokenizer", "the Split pattern {} failed on a text of {} bytes: {}", pattern_, text.size(), pcre_message(count));
    const auto* ends = pcre2_get_ovector_pointer_8(data.get());
    const bool empty = ends[0] == ends[1];
    from = ends[1];
    if (!empty || !any || ends[1] != done) {
      if (ends[0] > done) visit(text.substr(done, ends[0] - done), false);
      visit(text.substr(ends[0], ends[1] - ends[0]), true);
      done = ends[1];
      any = true;
    }
    if (!empty) continue;
    if (from >= text.size()) break;
    next_code_point(text, from);  // past an empty match, which still parts the text there
  }
  if (done < text.size()) visit(text.substr(done), false);
}

}  // namespace isotrope

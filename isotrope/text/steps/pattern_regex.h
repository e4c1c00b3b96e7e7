#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace isotrope {

/// A regular expression of tokenizer.json's Split that is none of the known patterns, matched by PCRE2.
/// Character classes (\p{…}, \s, \d, \w) are written out from our own Unicode 16.0 tables first, so PCRE2's older ones decide none;
/// Oniguruma's spellings that mean something else in PCRE2 are refused by name. Thread-safe.
class PatternRegex {
 public:
  /// Throws InputError that names `file`, the pattern and what is wrong with it.
  PatternRegex(std::string_view pattern, bool literal, std::string_view file);
  ~PatternRegex();
  PatternRegex(const PatternRegex&) = delete;

  /// Whether it may match no characters.
  bool may_match_nothing() const;

  using Visit = std::function<void(std::string_view piece, bool is_match)>;
  /// Visits matches and the stretches between them, in order, empty ones left out. text is valid UTF-8.
  void split(std::string_view text, const Visit& visit) const;
  /// The same with the matches of no characters, of which HF tokenizers leaves out those right behind another match.
  void split_with_empty_matches(std::string_view text, const Visit& visit) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
  std::string pattern_;
};

}  // namespace isotrope

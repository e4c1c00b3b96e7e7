#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace isotrope {

/// What BERT's text cleaning and splitting, and single steps of HF tokenizers, do with a code point: bits of NormalizationTable::traits().
namespace text_trait {
constexpr std::uint8_t removed = 1;       ///< controls, taken out of the text
constexpr std::uint8_t space = 2;         ///< becomes a plain space
constexpr std::uint8_t ideograph = 4;     ///< a word of its own
constexpr std::uint8_t nonspacing = 8;    ///< Mn: what BERT takes for an accent
constexpr std::uint8_t punctuation = 16;  ///< a word of its own
constexpr std::uint8_t separator = 32;    ///< white space between words
constexpr std::uint8_t combining = 64;    ///< M: what the normalizer StripAccents takes out
constexpr std::uint8_t numeric = 128;     ///< what Digits sets apart: numbers of Unicode 17.0, newer than those of patterns
}  // namespace text_trait

/// Code points to what each becomes, itself unless said otherwise. Pages of 256, so that most code points share one page of nothing.
class CodePointMap {
 public:
  /// sources: code point << 8 | length; targets: what they become, one after the other
  CodePointMap(std::span<const std::uint32_t> sources, std::span<const std::uint32_t> targets);
  /// What the code point becomes; empty when it stays what it is.
  std::u32string_view find(char32_t code_point) const {
    const auto entry = entries_[std::size_t{pages_[code_point >> 8]} << 8 | (code_point & 0xFF)];
    return std::u32string_view(targets_).substr(entry >> 8, entry & 0xFF);
  }

 private:
  std::vector<std::uint16_t> pages_;
  std::vector<std::uint32_t> entries_;  ///< first target << 8 | length
  std::u32string targets_;
};

/// Decompositions and canonical composition, lowercase and traits of every code point, as HF tokenizers 0.23 has them (its tables are older
/// than Unicode 16.0 in places). Built from the generated runs at first use.
class NormalizationTable {
 public:
  static const NormalizationTable& instance();
  std::uint8_t traits(char32_t code_point) const { return traits_[code_point]; }
  std::uint8_t combining_class(char32_t code_point) const { return classes_[code_point]; }
  const CodePointMap& lowercase() const { return lowercase_; }
  /// Calls visit(code point) for each part of the full canonical decomposition, in no canonical order yet.
  template <class Visit>
  void decompose(char32_t code_point, Visit&& visit) const {
    if (code_point >= hangul_first && code_point < hangul_end) {
      const auto index = code_point - hangul_first;
      visit(leading_first + index / (vowels * trailings));
      visit(vowel_first + index % (vowels * trailings) / trailings);
      if (index % trailings != 0) visit(trailing_first + index % trailings);
      return;
    }
    const auto parts = decomposition_.find(code_point);
    if (parts.empty()) return visit(code_point);
    for (const auto part : parts) visit(part);
  }
  /// The same for the full compatibility decomposition.
  template <class Visit>
  void decompose_compatibly(char32_t code_point, Visit&& visit) const {
    const auto parts = compatibility_.find(code_point);
    if (parts.empty()) return decompose(code_point, visit);
    for (const auto part : parts) visit(part);
  }
  /// The code point that two compose to, or 0.
  char32_t compose(char32_t first, char32_t second) const;

 private:
  NormalizationTable();
  // Unicode 16.0 §3.12, arithmetic of Hangul syllables.
  static constexpr char32_t hangul_first = 0xAC00, hangul_end = 0xD7A4, leading_first = 0x1100, vowel_first = 0x1161,
                            trailing_first = 0x11A7;
  static constexpr char32_t leadings = 19, vowels = 21, trailings = 28;

  std::vector<std::uint8_t> traits_, classes_;
  CodePointMap decomposition_, compatibility_, lowercase_;
};

enum class Decomposition : std::uint8_t { canonical, compatible };

/// Decomposition (NFD, NFKD) of text that comes code point by code point: marks wait until all that follow the same character are
/// there, and go on to `sink(code point, combining class)` in canonical order.
template <class Sink>
class Decomposer {
 public:
  explicit Decomposer(Sink sink, Decomposition kind = Decomposition::canonical) : sink_(std::move(sink)), kind_(kind) {}
  void push(char32_t code_point) {
    const auto put = [&](char32_t part) {
      const auto combining_class = table_.combining_class(part);
      if (combining_class != 0) return marks_.emplace_back(combining_class, part), void();
      flush();
      sink_(part, std::uint8_t{0});
    };
    kind_ == Decomposition::canonical ? table_.decompose(code_point, put) : table_.decompose_compatibly(code_point, put);
  }
  /// Must be called at the end of the text.
  void flush() {
    if (marks_.empty()) return;
    std::ranges::stable_sort(marks_, {}, &std::pair<std::uint8_t, char32_t>::first);
    for (const auto& [combining_class, mark] : marks_) sink_(mark, combining_class);
    marks_.clear();
  }

 private:
  const NormalizationTable& table_ = NormalizationTable::instance();
  Sink sink_;
  Decomposition kind_;
  std::vector<std::pair<std::uint8_t, char32_t>> marks_;
};

/// Normalization forms D and C, or KD and KC, of valid UTF-8, appended to `result`.
void append_nfd(std::string_view text, std::string& result, Decomposition kind = Decomposition::canonical);
void append_nfc(std::string_view text, std::string& result, Decomposition kind = Decomposition::canonical);

/// Nmt: what SentencePiece's "nmt" rules take out (nothing) and what they take for a space.
std::optional<char32_t> clean_for_translation(char32_t code_point);
/// The text without white space at its beginning, its end or both.
std::string_view stripped(std::string_view text, bool left, bool right);

}  // namespace isotrope

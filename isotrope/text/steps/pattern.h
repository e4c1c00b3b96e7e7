#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "isotrope/text/unicode/unicode.h"

namespace isotrope {

/// Pre-tokenizer patterns that are scanned by hand, code point by code point.
///   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+                        (Radford et al. 2019)
///   llama3  (?i:'s|…|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+   (cl100k, Llama 3)
///   qwen2   as llama3, one digit a piece
///   cl100k  as llama3, but white space that ends the text is one piece, line ends or not (tiktoken)
///   o200k   as llama3, but a word is capitals, then small letters, with marks and its contraction:
///           [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|…)?|…; [\r\n/] end punctuation (GPT-4o)
enum class Pattern { gpt2, llama3, qwen2, cl100k, o200k };

/// The regular expression as tokenizer.json spells it.
std::string_view pattern_text(Pattern pattern);
/// The pattern of that spelling, or nothing for any other.
std::optional<Pattern> find_pattern(std::string_view text);

/// The length in bytes of the piece that starts at `position` < text.size(). Every byte of a text belongs to exactly one piece.
/// text  valid UTF-8
/// One code point after another, and nothing else: PieceScanner is the fast way to the same pieces.
std::size_t next_piece(Pattern pattern, const UnicodeTable& table, std::string_view text, std::size_t position);

/// The length of 's, 't, 'm, 'd, 're, 've or 'll at an apostrophe, 0 when there is none; three bytes are read. any_case: capitals and
/// U+017F, the long s, count too.
inline std::size_t contraction_length(const char* quote, bool any_case) {
  const auto lower = [&](char c) { return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const char first = lower(quote[1]);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = lower(quote[2]);
  if (((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l')) return 3;
  return any_case && quote[1] == '\xC5' && quote[2] == '\xBF' ? 3 : 0;
}

}  // namespace isotrope

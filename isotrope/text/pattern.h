#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "isotrope/text/unicode.h"

namespace isotrope {

/// Pre-tokenizer patterns that are scanned by hand, code point by code point.
///   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+                        (Radford et al. 2019)
///   llama3  (?i:'s|…|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+   (cl100k, Llama 3)
///   qwen2   as llama3, one digit a piece
enum class Pattern { gpt2, llama3, qwen2 };

/// The regular expression as tokenizer.json spells it.
std::string_view pattern_text(Pattern pattern);
/// The pattern of that spelling, or nothing for any other.
std::optional<Pattern> find_pattern(std::string_view text);

/// The length in bytes of the piece that starts at `position` < text.size(). Every byte of a text belongs to exactly one piece.
/// text  valid UTF-8
std::size_t next_piece(Pattern pattern, const UnicodeTable& table, std::string_view text, std::size_t position);

}  // namespace isotrope

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/chat/interpreter.h"

namespace isotrope::chat {

// Python's methods of texts. Those that change case know ASCII letters alone, but lower(); InputError for other letters that have case.

std::string lower(std::string_view text);
std::string upper(std::string_view text);
std::string capitalize(std::string_view text);
bool is_lower(std::string_view text);
bool is_upper(std::string_view text);
/// InputError where text has letters with case beyond ASCII; `what` is said to know none.
void expect_ascii_letters(std::string_view text, std::string_view what);

/// The cost of looking for one text in another, all over it.
void spend_search(Budget& budget, std::string_view text, std::string_view what);

/// Without the characters (white space where none) on the left, the right or both.
std::string strip(std::string_view text, const Value& characters, bool left, bool right);
/// At most `count` occurrences, all where it is negative.
std::string replace(std::string_view text, std::string_view from, std::string_view to, std::int64_t count, Budget& budget);
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);

/// int() and float() of a text; nothing where Python raises.
std::optional<std::int64_t> read_integer(std::string_view text);
std::optional<double> read_real(std::string_view text);

bool is_word_character(char32_t code_point);

}  // namespace isotrope::chat

#pragma once

#include <string>
#include <string_view>

namespace isotrope {

/// How much the program says on stderr. Results go to stdout and are not affected.
enum class Verbosity { quiet, normal, verbose };

void set_verbosity(Verbosity verbosity);
Verbosity verbosity();

/// The text with its control characters, new lines and tabs apart, as `\x1b`: what a file says must not command the terminal. UTF-8, the
/// two-byte controls U+0080 to U+009F included.
std::string printable(std::string_view text);

/// `warning: …` on stderr, shown even when quiet: a warning says that the result may not be what the user thinks.
void warn(std::string_view message);
/// The same, once a process for each distinct `key`.
void warn_once(std::string_view key, std::string_view message);
/// A line on stderr unless quiet.
void note(std::string_view message);

/// Ends an unfinished progress line before other output appears on the terminal; set by Progress.
void set_line_breaker(void (*breaker)());

}  // namespace isotrope

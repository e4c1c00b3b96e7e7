#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace isotrope {

/// The program's exit codes. Scripts rely on them.
enum class ExitCode : int { done = 0, failed = 1, usage = 2, bad_input = 3, interrupted = 130 };

/// Base of every error that Isotrope throws. Printed as `error: [where] message`, then `hint: …` when there is one.
/// `where` is the component in its shortest usual name (`safetensors`, `config`, `train`).
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, std::string_view where, std::string message);
  ExitCode code() const noexcept { return code_; }
  const std::string& where() const noexcept { return where_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& hint() const noexcept { return hint_; }
  void set_hint(std::string hint) { hint_ = std::move(hint); }

 private:
  ExitCode code_;
  std::string where_, message_, hint_;
};

/// Throws `error` with a second line that tells the user what to do: `throw with_hint(InputError(…), "…")`.
template <class E>
E with_hint(E error, std::string hint) {
  error.set_hint(std::move(hint));
  return error;
}

/// A file or record from outside is broken, truncated, of another kind or does not fit (exit code 3).
class InputError : public Error {
 public:
  template <class... Args>
  explicit InputError(std::string_view where, fmt::format_string<Args...> text, Args&&... args)
      : Error(ExitCode::bad_input, where, fmt::format(text, std::forward<Args>(args)...)) {}
};

/// The command line or the configuration asks for something that does not exist or contradicts itself (exit code 2).
class UsageError : public Error {
 public:
  template <class... Args>
  explicit UsageError(std::string_view where, fmt::format_string<Args...> text, Args&&... args)
      : Error(ExitCode::usage, where, fmt::format(text, std::forward<Args>(args)...)) {}
};

/// The input was right and the work failed all the same: disk full, loss not finite, no such device (exit code 1).
class WorkError : public Error {
 public:
  template <class... Args>
  explicit WorkError(std::string_view where, fmt::format_string<Args...> text, Args&&... args)
      : Error(ExitCode::failed, where, fmt::format(text, std::forward<Args>(args)...)) {}
};

/// The user asked to stop; everything worth keeping has been written (exit code 130).
class Interrupted : public Error {
 public:
  template <class... Args>
  explicit Interrupted(std::string_view where, fmt::format_string<Args...> text, Args&&... args)
      : Error(ExitCode::interrupted, where, fmt::format(text, std::forward<Args>(args)...)) {}
};

/// `[2, 3, 4]`, the way every message writes a shape.
std::string shape_text(std::span<const std::int64_t> shape);

/// Throws InputError `[where] what: expected shape […], got […]` unless the two are equal.
void expect_shape(std::string_view where, std::string_view what, std::span<const std::int64_t> expected, std::span<const std::int64_t> got);

/// The candidate nearest to `word` by edit distance, or "" when none is close enough to be meant (distance ≤ 1 + length/3).
std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// Turns the exception in flight into its lines (`error: …`, `hint: …`) on stderr and returns the exit code.
/// The one place that does so; called from main's catch clause.
int report_current_exception();

}  // namespace isotrope

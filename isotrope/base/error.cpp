#include "isotrope/base/error.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <new>
#include <vector>

#include "isotrope/base/log.h"

namespace isotrope {

Error::Error(ExitCode code, std::string_view where, std::string message)
    : std::runtime_error(fmt::format("[{}] {}", where, message)), code_(code), where_(where), message_(std::move(message)) {}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

void expect_shape(std::string_view where, std::string_view what, std::span<const std::int64_t> expected,
                  std::span<const std::int64_t> got) {
  if (!std::ranges::equal(expected, got))
    throw InputError(where, "{}: expected shape {}, got {}", what, shape_text(expected), shape_text(got));
}

namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  std::string best;
  std::size_t best_distance = 2 + word.size() / 3;
  for (const auto& candidate : candidates) {
    const auto distance = edit_distance(word, candidate);
    if (distance < best_distance) best = candidate, best_distance = distance;
  }
  return best;
}

int report_current_exception() {
  const auto line = [](std::string_view text) { std::fputs((printable(text) + '\n').c_str(), stderr); };
  try {
    throw;
  } catch (const Error& error) {
    line(fmt::format("{}: {}", error.code() == ExitCode::interrupted ? "stopped" : "error", error.what()));
    if (!error.hint().empty()) line("hint: " + error.hint());
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    line("error: [memory] not enough memory for this request");
    return static_cast<int>(ExitCode::failed);
  } catch (const std::filesystem::filesystem_error& error) {
    line(fmt::format("error: [file] {}: {}", error.path1().string(), error.code().message()));
    return static_cast<int>(ExitCode::bad_input);
  } catch (const std::exception& error) {
    // Errors of libraries below us can carry a back-trace; the first line says what happened, --verbose shows the rest.
    const std::string_view what = error.what();
    line(fmt::format("error: [internal] {}", verbosity() == Verbosity::verbose ? what : what.substr(0, what.find('\n'))));
    return static_cast<int>(ExitCode::failed);
  }
}

}  // namespace isotrope

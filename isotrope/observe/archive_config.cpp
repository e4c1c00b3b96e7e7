#include "isotrope/observe/archive_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <string_view>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

template <class Number>
bool read_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::vector<std::int64_t> ArchiveSchedule::log_steps(std::int64_t steps) const {
  std::vector<std::int64_t> found;
  const auto count = std::min(number, steps);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto share = count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 1.0;
    const auto even = std::llround(std::pow(static_cast<double>(steps), share));
    // Early ratios fall on one step: those behind move on to the next. None may take the place of the last.
    found.push_back(std::clamp<std::int64_t>(even, found.empty() ? 1 : found.back() + 1, steps - (count - 1 - i)));
  }
  return found;
}

std::int64_t ArchiveSchedule::count(std::int64_t steps) const {
  switch (kind) {
    case Kind::never: return 0;
    case Kind::every: return steps / number;
    case Kind::log: return std::min(number, steps);
    case Kind::loss: return static_cast<std::int64_t>(losses.size());
  }
  return 0;
}

ArchiveSchedule parse_archive_schedule(const std::string& text) {
  if (text.empty()) return {};
  const auto refuse = [&] { return UsageError("config", "checkpoint.archive = \"{}\": expected every:N, log:N or loss:a,b,c", text); };
  const auto colon = std::min(text.find(':'), text.size());
  const auto name = text.substr(0, colon);
  std::string_view rest = std::string_view(text).substr(std::min(text.size(), colon + 1));
  ArchiveSchedule schedule;
  using Kind = ArchiveSchedule::Kind;
  if (name == "every" || name == "log") {
    schedule.kind = name == "every" ? Kind::every : Kind::log;
    if (!read_number(rest, schedule.number) || schedule.number < 1) throw refuse();
    if (name == "log" && schedule.number > 10000) throw UsageError("config", "checkpoint.archive = \"{}\": more than 10000 times", text);
    return schedule;
  }
  if (name != "loss") throw refuse();
  schedule.kind = Kind::loss;
  do {
    const auto comma = std::min(rest.find(','), rest.size());
    double loss = 0;
    if (!read_number(rest.substr(0, comma), loss) || !std::isfinite(loss)) throw refuse();
    schedule.losses.push_back(loss);
    rest.remove_prefix(std::min(rest.size(), comma + 1));
  } while (!rest.empty());
  std::ranges::sort(schedule.losses, std::greater{});
  const auto twice = std::ranges::unique(schedule.losses);
  schedule.losses.erase(twice.begin(), twice.end());
  return schedule;
}

}  // namespace isotrope

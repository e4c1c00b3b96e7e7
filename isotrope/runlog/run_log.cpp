#include "isotrope/runlog/run_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "isotrope/base/error.h"
#include "isotrope/runlog/messages.h"
#include "isotrope/runlog/reader.h"
#include "isotrope_version.h"

namespace isotrope {

namespace {

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// JSON has no word for NaN and infinities, and null would lose which one it was.
void spell_out_non_finite(nlohmann::json& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::isnan(number)) value = "nan";
    else if (std::isinf(number)) value = number > 0 ? "inf" : "-inf";
  } else if (value.is_structured()) {
    for (auto& element : value) spell_out_non_finite(element);
  }
}

/// The record's line: type and step first, so that a person can read down the file.
std::string line_of(nlohmann::json record) {
  spell_out_non_finite(record);
  std::string line = R"({"type":)" + line_text(record["type"]);
  if (record.contains("step")) line += R"(,"step":)" + line_text(record["step"]);
  for (const auto& [key, value] : record.items())
    if (key != "type" && key != "step") line += "," + line_text(key) + ":" + line_text(value);
  return line + "}\n";
}

void expect_record(const nlohmann::json& record) {
  if (!record.is_object() || !record.contains("type") || !record["type"].is_string())
    throw InputError(in_run_log, "a record needs a type: got {}", line_text(record));
  if (!record.contains("step")) return;
  const auto& step = record["step"];
  if (!step.is_number_integer() || (!step.is_number_unsigned() && step.get<std::int64_t>() < 0))
    throw InputError(in_run_log, "step of a {} record: expected an integer ≥ 0, got {}", line_text(record["type"]), line_text(step));
}

}  // namespace

RunLog RunLog::open(const fs::path& folder) {
  fs::path path = folder / "run.jsonl";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) throw WorkError(in_run_log, "{}: cannot open: {}", path.string(), system_reason());
  RunLog log(std::move(path), descriptor);
  log.cut_torn_tail();
  if (log.size_ == 0) {
    log.append(
        {{"type", "run"}, {"format", run_log_format}, {"version", ISOTROPE_VERSION}, {"commit", ISOTROPE_COMMIT}, {"started", now_utc()}});
  } else {
    RunLogReader(log.path_).next(1);  // refuses what is not a run log, and newer formats
  }
  return log;
}

RunLog::RunLog(RunLog&& other) noexcept { *this = std::move(other); }

RunLog& RunLog::operator=(RunLog&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

RunLog::~RunLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void RunLog::cut_torn_tail() {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode))
    throw WorkError(in_run_log, "{}: is not a regular file", path_.string());
  const auto end = static_cast<std::uint64_t>(status.st_size);
  char block[4096];
  // Backwards to the last newline; everything after it is a line whose write(2) was cut short.
  for (std::uint64_t at = end; at > 0 && size_ == 0;) {
    const auto count = std::min<std::uint64_t>(at, sizeof block);
    at -= count;
    if (::pread(descriptor_, block, count, static_cast<off_t>(at)) != static_cast<ssize_t>(count))
      throw WorkError(in_run_log, "{}: cannot read: {}", path_.string(), system_reason());
    const auto newline = std::string_view(block, count).rfind('\n');
    if (newline != std::string_view::npos) size_ = at + newline + 1;
    else if (at == 0 && !may_begin_run_log({block, count})) throw InputError(in_run_log, "{}: is not a run log", path_.string());
  }
  if (size_ < end && ::ftruncate(descriptor_, static_cast<off_t>(size_)) != 0)
    throw WorkError(in_run_log, "{}: cannot cut off the unfinished last line: {}", path_.string(), system_reason());
}

void RunLog::append(const nlohmann::json& record) {
  expect_record(record);
  const std::string line = line_of(record);
  ssize_t written = 0;
  do written = ::write(descriptor_, line.data(), line.size());
  while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(line.size())) {
    size_ += line.size();
    return;
  }
  // A short write is a disk that filled in the middle of the line.
  const std::string why = written < 0 ? system_reason() : std::strerror(ENOSPC);
  const bool cut = written <= 0 || ::ftruncate(descriptor_, static_cast<off_t>(size_)) == 0;
  throw WorkError(in_run_log, "{}: cannot write: {}{}", path_.string(), why, cut ? "" : "; its last line is unfinished");
}

void RunLog::sync() {
  if (::fsync(descriptor_) != 0) throw WorkError(in_run_log, "{}: cannot flush to disk: {}", path_.string(), system_reason());
}

}  // namespace isotrope

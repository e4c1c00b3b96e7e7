#include "isotrope/runlog/reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "isotrope/base/error.h"
#include "isotrope/runlog/messages.h"
#include "isotrope/runlog/run_log.h"

namespace isotrope {

namespace {

constexpr std::size_t longest_line = std::size_t{64} << 20;
constexpr int deepest = 64;

/// Whether a step, where there is one, is an integer ≥ 0.
bool has_good_step(const nlohmann::json& record) {
  const auto step = record.find("step");
  if (step == record.end()) return true;
  return step->is_number_unsigned() && step->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
}

void expect_header(const nlohmann::json& record, const std::string& name) {
  const auto format = record.find("format");
  if (record["type"] != "run" || format == record.end() || !format->is_number_unsigned())
    throw InputError(in_run_log, "{}: is not a run log: expected a first record of type run with its format, got type {}", name,
                     record["type"].get_ref<const std::string&>());
  const auto version = format->get<std::uint64_t>();
  if (version > run_log_format)
    throw with_hint(InputError(in_run_log, "{}: is a run log of format {}, this program reads up to {}", name, version, run_log_format),
                    "a newer Isotrope wrote it");
}

}  // namespace

nlohmann::json parse_run_record(std::string_view text, const std::string& name, std::uint64_t line) {
  const auto no_deeper = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > deepest) throw InputError(in_run_log, "{}: line {} nests deeper than {} levels", name, line, deepest);
    return true;
  };
  auto record = nlohmann::json::parse(text, no_deeper, false);
  if (record.is_discarded() || !record.is_object()) throw InputError(in_run_log, "{}: line {} is not a JSON object", name, line);
  const auto type = record.find("type");
  if (type == record.end() || !type->is_string()) throw InputError(in_run_log, "{}: line {} has no type", name, line);
  if (!has_good_step(record))
    throw InputError(in_run_log, "{}: line {}: expected a step that is an integer ≥ 0, got {}", name, line, line_text(record["step"]));
  if (*type == "resume" && !record.contains("step"))
    throw InputError(in_run_log, "{}: line {}: a resume record needs its step", name, line);
  return record;
}

RunLogReader::RunLogReader(const fs::path& path) : path_(fs::is_directory(path) ? path / "run.jsonl" : path) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw InputError(in_run_log, "{}: cannot open: {}", path_.string(), system_reason());
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw InputError(in_run_log, "{}: is not a regular file", path_.string());
  }
}

RunLogReader::~RunLogReader() { ::close(descriptor_); }

std::string RunLogReader::read_from(std::uint64_t at, std::size_t count) const {
  std::string bytes(count, '\0');
  std::size_t done = 0;
  while (done < count) {
    const auto got = ::pread(descriptor_, bytes.data() + done, count - done, static_cast<off_t>(at + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw InputError(in_run_log, "{}: cannot read: {}", path_.string(), system_reason());
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

std::vector<nlohmann::json> RunLogReader::next(std::size_t budget) {
  std::vector<nlohmann::json> records;
  next_lines([&](std::string_view line, std::uint64_t number) { records.push_back(parse_run_record(line, path_.string(), number)); },
             budget);
  return records;
}

std::size_t RunLogReader::next_lines(const std::function<void(std::string_view line, std::uint64_t number)>& visit, std::size_t budget) {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) throw InputError(in_run_log, "{}: cannot read: {}", path_.string(), system_reason());
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < position_) throw InputError(in_run_log, "{}: has become shorter: {} bytes, {} were read", path_.string(), size, position_);
  std::size_t lines = 0;
  // Blocks double until one holds a whole line; the first is no longer than what is there, for who asks often.
  for (auto block = static_cast<std::size_t>(std::min<std::uint64_t>(std::max<std::size_t>(budget, 4096), size - position_ + 1));;
       block *= 2) {
    const std::string bytes = read_from(position_, block);
    std::size_t begin = 0;
    for (auto end = bytes.find('\n'); end != std::string::npos; end = bytes.find('\n', begin)) {
      const auto line = std::string_view(bytes).substr(begin, end - begin);
      if (line_ == 0) expect_header(parse_run_record(line, path_.string(), 1), path_.string());
      visit(line, line_ + 1);
      position_ += end + 1 - begin;
      last_read_ = line.substr(line.size() - std::min<std::size_t>(line.size(), 128));
      begin = end + 1;
      ++line_;
      ++lines;
      if (begin >= budget) break;
    }
    const bool at_end = bytes.size() < block;
    torn_ = at_end && begin < bytes.size() && bytes.find('\n', begin) == std::string::npos;
    if (torn_ && line_ == 0 && !may_begin_run_log(bytes)) throw InputError(in_run_log, "{}: is not a run log", path_.string());
    if (lines > 0 || at_end) return lines;
    if (block > longest_line) throw InputError(in_run_log, "{}: line {} is longer than {} bytes", path_.string(), line_ + 1, longest_line);
  }
}

bool RunLogReader::superseded() const {
  struct stat mine{}, named{};
  if (::stat(path_.c_str(), &named) != 0 || ::fstat(descriptor_, &mine) != 0) return true;
  if (mine.st_ino != named.st_ino || mine.st_dev != named.st_dev || static_cast<std::uint64_t>(named.st_size) < position_) return true;
  return line_ > 0 && read_from(position_ - 1 - last_read_.size(), last_read_.size()) != last_read_;
}

void RunHistory::add(nlohmann::json record) {
  if (record["type"] == "resume") {
    const auto step = record["step"].get<std::uint64_t>();
    std::erase_if(records_, [&](const nlohmann::json& earlier) {
      const auto& type = earlier["type"].get_ref<const std::string&>();
      return earlier.contains("step") && earlier["step"].get<std::uint64_t>() > step && type != "run" && type != "resume" && type != "end";
    });
  }
  records_.push_back(std::move(record));
}

RunRecords read_run_log(const fs::path& path) {
  RunLogReader reader(path);
  RunHistory history;
  for (auto batch = reader.next(); !batch.empty(); batch = reader.next())
    for (auto& record : batch) history.add(std::move(record));
  return {history.records(), reader.torn()};
}

bool may_begin_run_log(std::string_view bytes) { return bytes.empty() || bytes[0] == '{' || bytes[0] == '\0'; }

double number_of(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  throw InputError(in_run_log, "expected a number, got {}", line_text(value));
}

}  // namespace isotrope

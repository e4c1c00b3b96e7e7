#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace isotrope {

namespace fs = std::filesystem;

/// Reads a run log record by record and can follow one that grows: next() returns what has been completed since the last call.
/// A last line without its newline is left for later. Never locks, never writes.
///
/// Throws InputError with file and line for a record that is not JSON, has no type or a step that is no integer ≥ 0; for a first
/// record that is not `run`; for a newer format; for a file that has become shorter (another run has taken its place: open it anew).
class RunLogReader {
 public:
  /// `path` is run.jsonl or the run folder that holds it.
  explicit RunLogReader(const fs::path& path);
  RunLogReader(const RunLogReader&) = delete;
  ~RunLogReader();

  /// The records completed since the last call, in order, `run` first of all; stops after about `budget` bytes. Empty: nothing new.
  std::vector<nlohmann::json> next(std::size_t budget = std::size_t{4} << 20);
  /// The same as lines without their newline, each with its number from 1; only the first is parsed here. Returns how many there were.
  /// A line at which `visit` throws is the first of the next call.
  std::size_t next_lines(const std::function<void(std::string_view line, std::uint64_t number)>& visit,
                         std::size_t budget = std::size_t{4} << 20);
  /// Whether the path now names another file, a shorter one, one with other bytes before position(), or none: this reader has nothing more
  /// to say, and a new one must be opened.
  bool superseded() const;
  std::uint64_t position() const { return position_; }  ///< bytes of complete lines read so far
  bool torn() const { return torn_; }                   ///< the file ended in an unfinished line when next() last reached its end

 private:
  std::string read_from(std::uint64_t at, std::size_t count) const;

  fs::path path_;
  int descriptor_ = -1;
  std::uint64_t position_ = 0, line_ = 0;
  std::string last_read_;  // some bytes before position_, by which a file that was written anew is noticed
  bool torn_ = false;
};

/// The effective records of a run: those of the course that training really took.
/// A `resume` with step s continues from the state after s steps, so every earlier record with a step above s has been undone and is
/// dropped, whatever its type; `run`, `resume` and `end` stay, being the history of the run's sessions.
class RunHistory {
 public:
  /// Takes the next record of the log.
  void add(nlohmann::json record);
  /// The effective records in the order of the log; records()[0] is `run`.
  const std::vector<nlohmann::json>& records() const { return records_; }

 private:
  std::vector<nlohmann::json> records_;
};

struct RunRecords {
  std::vector<nlohmann::json> records;  ///< effective, `run` first; empty when not even the first record is complete
  bool torn = false;                    ///< a last, unfinished line was ignored
};

/// All effective records of a finished or running log; `path` is run.jsonl or the run folder. Errors: those of RunLogReader.
RunRecords read_run_log(const fs::path& path);

/// Parses one line of a run log; `name` is the file and `line` the number that errors carry. Depth of nesting is at most 64.
nlohmann::json parse_run_record(std::string_view text, const std::string& name, std::uint64_t line);

/// Whether a file without any complete line may be the beginning of a run log: a piece of a record, or the zeros of a lost block.
bool may_begin_run_log(std::string_view bytes);

/// A number as append() writes it: a JSON number, or "nan", "inf", "-inf". Anything else throws InputError.
double number_of(const nlohmann::json& value);

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace isotrope {

namespace fs = std::filesystem;

/// The version of run.jsonl that this program writes; it reads every earlier one (docs/formats/run_log.md).
inline constexpr int run_log_format = 1;

/// The writing end of a run's append-only log: one JSON object a line, each written by one write(2) together with its newline.
/// What append() has returned from survives the death of the process; what sync() has returned from survives that of the machine.
/// Used by one thread at a time; two processes are kept apart by the run folder's FileLock. Move-only.
class RunLog {
 public:
  /// `folder`/run.jsonl. A new file gets its `run` record; in an old one the torn last line of a crash is cut off.
  /// Throws InputError for a file that is not a run log or has a newer format, WorkError when it cannot be opened or written.
  static RunLog open(const fs::path& folder);
  RunLog(RunLog&& other) noexcept;
  RunLog& operator=(RunLog&& other) noexcept;
  ~RunLog();

  /// Appends an object with a string `type` and, where it applies, an integer `step` ≥ 0; anything else is an InputError.
  /// NaN and infinities are written as "nan", "inf" and "-inf", which number_of() reads back.
  /// Throws WorkError when the disk is full; the log then ends with the record before.
  void append(const nlohmann::json& record);
  /// Flushes to disk; called with every checkpoint and at the end.
  void sync();
  const fs::path& path() const { return path_; }

 private:
  RunLog(fs::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  void cut_torn_tail();

  fs::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace isotrope

#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "isotrope/report/comparison.h"
#include "isotrope/runlog/curves.h"
#include "isotrope/runlog/reader.h"

namespace isotrope {

/// One run folder and what its log has said so far. Follows a log that grows, is replaced, is cut short, vanishes and comes back;
/// never locks it, never writes.
class FollowedRun {
 public:
  explicit FollowedRun(fs::path folder);

  /// Reads on, about `budget` bytes at most. Returns whether anything has changed. Never throws: problem() says what is wrong.
  bool refresh(std::size_t budget = std::size_t{8} << 20);

  const fs::path& folder() const { return folder_; }
  const RunCurves& curves() const { return curves_; }
  /// Grows whenever copies of the curves have become wrong: a resume that undid steps, another log in the old one's place.
  std::uint64_t edition() const { return edition_ + curves_.edition(); }
  const std::string& problem() const { return problem_; }  ///< why nothing more is read; empty when all is well
  /// `running`, `stalled` (no record for a while), `done`, `time`, `interrupted`, `failed`, `empty` (no record yet) or `missing`.
  std::string status() const;
  /// The resolved configuration, config.toml; empty when there is none, or it lies outside the folder.
  std::string config() const;

 private:
  fs::path folder_;
  std::unique_ptr<RunLogReader> reader_;
  RunCurves curves_;
  std::uint64_t edition_ = 0;
  std::string problem_;
  bool missing_ = false;
};

/// The runs that the command line names. Each path is a run folder, or a folder that holds run folders (two levels deep at most), in which
/// later ones are found by find_new(). A run keeps its index; there are at most 1000. A single folder may hold a comparison of its runs.
class RunSet {
 public:
  /// Throws InputError for a path that does not exist, and when there is no run at all unless `may_be_empty`.
  RunSet(const std::vector<fs::path>& paths, bool may_be_empty);

  /// Reads on in every run and the comparison; returns whether anything has changed.
  bool refresh();
  /// Looks for runs that have appeared; returns whether there are any.
  bool find_new();
  std::size_t size() const { return runs_.size(); }
  const FollowedRun& operator[](std::size_t index) const { return *runs_[index]; }
  /// The shortest end of the run's path that is its own: `run-3`, or `demo/run` where others are called `run` too.
  const std::string& name(std::size_t index) const { return names_[index]; }
  const FollowedComparison& comparison() const { return comparison_; }

 private:
  void name_all();

  std::vector<fs::path> paths_;
  std::vector<std::unique_ptr<FollowedRun>> runs_;
  std::vector<std::string> names_;
  FollowedComparison comparison_;
};

}  // namespace isotrope

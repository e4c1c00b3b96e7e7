#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <tuple>

namespace isotrope {

namespace fs = std::filesystem;

/// compare.json of a folder of runs (docs/formats/comparison.md), read anew whenever another is in its place. Never locks, never writes,
/// never throws: problem() says what is wrong.
class FollowedComparison {
 public:
  FollowedComparison() = default;  ///< of no folder: there is never a comparison
  explicit FollowedComparison(fs::path folder) : folder_(std::move(folder)) {}

  /// Returns whether anything has changed.
  bool refresh();

  /// The comparison as JSON on one line, its lists being lists of objects as the format says; empty when there is none that can be read.
  const std::string& text() const { return text_; }
  const std::string& problem() const { return problem_; }  ///< why a file that is there is not shown
  std::uint64_t edition() const { return edition_; }       ///< 0 until there was a file; grows with every change
  /// A run's folder as compare.json names it: relative to its own.
  std::string place_of(const fs::path& run) const;

 private:
  void read(const fs::path& file);

  fs::path folder_;
  std::string text_, problem_;
  std::uint64_t edition_ = 0;
  std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t> read_ = {};  // inode, size, time of writing: which file this is
};

}  // namespace isotrope

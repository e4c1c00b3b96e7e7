#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace isotrope {

/// A corpus that others publish: what it is, whose, and how to know that it came whole.
struct Corpus {
  std::string_view name, about;
  std::string_view url;
  std::string_view licence;
  std::uint64_t bytes;      ///< size of the download
  std::string_view sha256;  ///< 64 hexadecimal digits; empty where no checksum is known for certain
};

std::span<const Corpus> known_corpora();
/// Throws UsageError for an unknown name; its hint gives the nearest name, or all of them.
const Corpus& find_corpus(std::string_view name);

struct FetchRequest {
  std::string url;               ///< http://… or https://…; redirections are followed, certificates are checked
  std::string sha256;            ///< what the bytes must hash to, 64 hexadecimal digits of either case; empty accepts any
  std::filesystem::path output;  ///< the file to write
  /// Called with bytes done and in all (0: unknown) as they arrive; returning false ends the download with Interrupted.
  std::function<bool(std::uint64_t, std::uint64_t)> progress;
};

struct FetchResult {
  std::uint64_t bytes;
  std::string sha256;  ///< of what was written
};

/// Downloads to `output`, which appears whole and verified or not at all (AtomicFile).
/// Throws UsageError for a URL or checksum that is none; WorkError when the server cannot be reached, answers with anything but 200 or
/// breaks off, and when the disk is full; InputError when the checksum differs.
FetchResult fetch(const FetchRequest& request);

}  // namespace isotrope

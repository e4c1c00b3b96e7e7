#pragma once

#include <memory>
#include <span>

#include "isotrope/base/file.h"

namespace isotrope {

/// The bytes of a file in order, decompressed on the way when its name ends in .gz, .xz or .zst. Memory: a fixed buffer.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Fills as much of `out` as there is; fewer bytes than asked for mean the end. Throws InputError for unreadable, truncated or corrupt
  /// files.
  virtual std::size_t read(std::span<char> out) = 0;
  /// Passes over the next `bytes`: a jump in a plain file, reading in a compressed one. Whether a plain file has so many, read() shows.
  virtual void skip(std::uint64_t bytes) = 0;
  /// Bytes of the file itself consumed so far: what progress counts.
  virtual std::uint64_t consumed() const = 0;
};

std::unique_ptr<ByteSource> open_source(const fs::path& path, std::string_view where);

/// The path without .gz, .xz or .zst.
fs::path without_compression(const fs::path& path);

}  // namespace isotrope

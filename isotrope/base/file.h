#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace isotrope {

namespace fs = std::filesystem;

/// The whole file. `where` names the component in errors. Throws InputError when it is absent, a folder, unreadable or over `limit` bytes.
std::string read_file(const fs::path& path, std::string_view where, std::size_t limit = std::size_t{1} << 30);

/// A read-only memory map of a file, unmapped by the destructor. An empty file maps to an empty span. Move-only.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws InputError when the file cannot be opened or mapped.
  MappedFile(const fs::path& path, std::string_view where);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const fs::path& path() const { return path_; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  fs::path path_;
};

/// A file that appears whole or not at all: written under a temporary name beside `path`, then fsync, rename, fsync of the folder.
/// Without commit() (an exception, a crash) nothing at `path` changes; the destructor removes the temporary file.
/// Every failure to write (disk full, file-size limit) is a WorkError that names the file.
class AtomicFile {
 public:
  AtomicFile(fs::path path, std::string_view where);
  /// Under a temporary name that a later process can find. The first `size` bytes of a file of that name stay, and then keep() holds.
  AtomicFile(fs::path path, fs::path temporary, std::size_t size, std::string_view where);
  AtomicFile(const AtomicFile&) = delete;
  ~AtomicFile();
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Overwrites bytes already written, at `offset` (a header known only at the end).
  void write_at(std::size_t offset, std::span<const std::byte> bytes);
  std::size_t size() const { return size_; }
  /// Everything written before the call is on disk when it returns; another thread may go on writing meanwhile.
  void sync() const;
  /// Whether the destructor leaves the temporary file where it is, for a later process to go on with.
  void keep(bool keep) { keep_ = keep; }
  void commit();

 private:
  fs::path path_, temporary_;
  std::string where_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
  bool keep_ = false;
};

/// `text` to `path`, whole or not at all (AtomicFile).
void write_file(const fs::path& path, std::string_view text, std::string_view where);

/// A folder that appears whole or not at all: fill `path()`, then commit() fsyncs every file in it and renames it to its final name.
/// An existing folder of the final name is replaced only at that moment. The destructor removes what was not committed.
class AtomicFolder {
 public:
  AtomicFolder(fs::path final_path, std::string_view where);
  AtomicFolder(const AtomicFolder&) = delete;
  ~AtomicFolder();
  const fs::path& path() const { return temporary_; }
  void commit();

 private:
  fs::path final_, temporary_;
  std::string where_;
  bool committed_ = false;
};

/// Creates the folder and its parents. Throws WorkError `[where] cannot create folder …`.
void create_folders(const fs::path& path, std::string_view where);

/// An advisory lock on `path` held for this object's life, so that two processes never work on one run folder. `path` is a file, made when
/// absent, or an existing folder, which then needs no file for it.
/// Throws WorkError at once when another process holds it; its message names that process.
class FileLock {
 public:
  FileLock(const fs::path& path, std::string_view where);
  FileLock(const FileLock&) = delete;
  ~FileLock();

 private:
  int descriptor_ = -1;
};

}  // namespace isotrope

#include "isotrope/base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

std::string reason() { return std::strerror(errno); }

/// Opens for reading and refuses what is not a regular file; returns the descriptor and the size.
std::pair<int, std::size_t> open_regular(const fs::path& path, std::string_view where) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw InputError(where, "{}: cannot open: {}", path.string(), reason());
  struct stat status{};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw InputError(where, "{}: {}", path.string(), S_ISDIR(status.st_mode) ? "is a folder, not a file" : "is not a regular file");
  }
  return {descriptor, static_cast<std::size_t>(status.st_size)};
}

void sync_path(const fs::path& path, std::string_view where) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int saved = errno;
  if (descriptor >= 0) ::close(descriptor);
  // Some file systems refuse fsync on a folder with EINVAL; there is nothing more to do on those.
  if (!synced && saved != EINVAL) throw WorkError(where, "{}: cannot flush to disk: {}", path.string(), std::strerror(saved));
}

fs::path parent_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

}  // namespace

std::string read_file(const fs::path& path, std::string_view where, std::size_t limit) {
  const auto [descriptor, size] = open_regular(path, where);
  if (size > limit) {
    ::close(descriptor);
    throw InputError(where, "{}: {} bytes, more than the limit of {}", path.string(), size, limit);
  }
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const auto count = ::read(descriptor, text.data() + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  ::close(descriptor);
  if (done != size) throw InputError(where, "{}: read {} of {} bytes", path.string(), done, size);
  return text;
}

MappedFile::MappedFile(const fs::path& path, std::string_view where) : path_(path) {
  const auto [descriptor, size] = open_regular(path, where);
  size_ = size;
  if (size > 0) {
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
    const std::string why = reason();
    ::close(descriptor);
    if (address == MAP_FAILED) throw InputError(where, "{}: cannot map: {}", path.string(), why);
    data_ = static_cast<const std::byte*>(address);
  } else {
    ::close(descriptor);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

AtomicFile::AtomicFile(fs::path path, std::string_view where) : path_(std::move(path)), where_(where) {
  temporary_ = path_;
  temporary_ += ".partial-" + std::to_string(::getpid());
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw WorkError(where_, "{}: cannot create: {}", path_.string(), reason());
}

AtomicFile::AtomicFile(fs::path path, fs::path temporary, std::size_t size, std::string_view where)
    : path_(std::move(path)), temporary_(std::move(temporary)), where_(where), size_(size), keep_(size > 0) {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ >= 0 && ::ftruncate(descriptor_, static_cast<off_t>(size)) == 0) return;
  const std::string why = reason();
  if (descriptor_ >= 0) ::close(descriptor_);
  throw WorkError(where_, "{}: cannot create: {}", path_.string(), why);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!keep_) ::unlink(temporary_.c_str());
}

void AtomicFile::sync() const {
  if (::fsync(descriptor_) != 0) throw WorkError(where_, "{}: cannot flush to disk: {}", path_.string(), reason());
}

void AtomicFile::write_at(std::size_t offset, std::span<const std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto count = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw WorkError(where_, "{}: cannot write: {}", path_.string(), reason());
    done += static_cast<std::size_t>(count);
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  write_at(size_, bytes);
  size_ += bytes.size();
}

void AtomicFile::commit() {
  const bool synced = ::fsync(descriptor_) == 0;
  const std::string why = reason();
  const bool closed = ::close(std::exchange(descriptor_, -1)) == 0;
  if (!synced || !closed) {
    ::unlink(temporary_.c_str());
    throw WorkError(where_, "{}: cannot flush to disk: {}", path_.string(), why);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string cause = reason();
    ::unlink(temporary_.c_str());
    throw WorkError(where_, "{}: cannot rename into place: {}", path_.string(), cause);
  }
  sync_path(parent_of(path_), where_);
}

void write_file(const fs::path& path, std::string_view text, std::string_view where) {
  AtomicFile file(path, where);
  file.write(text);
  file.commit();
}

AtomicFolder::AtomicFolder(fs::path final_path, std::string_view where) : final_(std::move(final_path)), where_(where) {
  if (!final_.has_filename()) final_ = final_.parent_path();
  temporary_ = parent_of(final_) / ("." + final_.filename().string() + ".partial-" + std::to_string(::getpid()));
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
  create_folders(temporary_, where_);
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  for (const auto& entry : fs::recursive_directory_iterator(temporary_)) sync_path(entry.path(), where_);
  sync_path(temporary_, where_);
  // rename(2) does not replace a folder that holds files: the two change places in one step where the file system can, otherwise the
  // earlier one steps aside first; it is removed last.
  std::error_code error;
  const bool replaces = fs::exists(final_);
  if (replaces && ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, final_.c_str(), RENAME_EXCHANGE) == 0) {
    committed_ = true;
    sync_path(parent_of(final_), where_);
    fs::remove_all(temporary_, error);
    return;
  }
  const fs::path aside = parent_of(final_) / ("." + final_.filename().string() + ".replaced-" + std::to_string(::getpid()));
  if (replaces) fs::rename(final_, aside, error);
  if (!error) fs::rename(temporary_, final_, error);
  if (error) {
    std::error_code ignored;
    if (replaces && !fs::exists(final_)) fs::rename(aside, final_, ignored);
    throw WorkError(where_, "{}: cannot rename into place: {}", final_.string(), error.message());
  }
  committed_ = true;
  sync_path(parent_of(final_), where_);
  if (replaces) fs::remove_all(aside, error);
}

void create_folders(const fs::path& path, std::string_view where) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path))
    throw WorkError(where, "cannot create folder {}: {}", path.string(), error ? error.message() : "a file stands there");
}

FileLock::FileLock(const fs::path& path, std::string_view where) {
  const bool is_folder = fs::is_directory(path);
  descriptor_ = ::open(path.c_str(), is_folder ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw WorkError(where, "{}: cannot open the lock: {}", path.string(), reason());
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    char owner[32] = {};
    const auto count = is_folder ? 0 : ::pread(descriptor_, owner, sizeof owner - 1, 0);
    ::close(std::exchange(descriptor_, -1));
    throw WorkError(where, "{}: another process{} is working here", (is_folder ? path : parent_of(path)).string(),
                    count > 0 ? fmt::format(" ({})", std::string_view(owner)) : "");
  }
  if (is_folder) return;
  const std::string owner = "pid " + std::to_string(::getpid());
  if (::ftruncate(descriptor_, 0) != 0 || ::pwrite(descriptor_, owner.data(), owner.size(), 0) < 0) {
    // The lock itself is what counts; its text only helps the other process to a better message.
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace isotrope

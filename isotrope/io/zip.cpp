#include "isotrope/io/zip.h"

#include <zip.h>

#include <map>
#include <memory>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

using ZipArchive = std::unique_ptr<zip_t, decltype(&zip_discard)>;
using ZipEntry = std::unique_ptr<zip_file_t, decltype(&zip_fclose)>;

ZipArchive open_archive(const std::filesystem::path& path, std::string_view where) {
  int code = 0;
  ZipArchive archive(zip_open(path.c_str(), ZIP_RDONLY, &code), &zip_discard);
  if (archive) return archive;
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  throw InputError(where, "{}: no zip archive: {}", path.string(), reason);
}

std::string read_zip_entry(zip_t* archive, zip_uint64_t index, const std::string& place, std::string_view where, std::size_t limit) {
  const ZipEntry entry(zip_fopen_index(archive, index, 0), &zip_fclose);
  if (!entry) throw InputError(where, "{}: {}", place, zip_strerror(archive));
  std::string bytes;
  char buffer[1 << 16];
  for (;;) {  // what the archive says of sizes is not believed
    const auto count = zip_fread(entry.get(), buffer, sizeof buffer);
    if (count < 0) throw InputError(where, "{}: {}", place, zip_file_strerror(entry.get()));
    if (count == 0) return bytes;
    if (bytes.size() + static_cast<std::size_t>(count) > limit)
      throw InputError(where, "{}: the archive holds more than is read of one ({} bytes are left)", place, limit);
    bytes.append(buffer, static_cast<std::size_t>(count));
  }
}

}  // namespace

void for_each_zip_entry(const std::filesystem::path& path, std::string_view where, const std::function<bool(std::string_view)>& wanted,
                        const std::function<void(const std::string&, const std::string&)>& visit, std::size_t limit) {
  const auto archive = open_archive(path, where);
  std::map<std::string, zip_uint64_t> entries;
  for (zip_int64_t i = 0; i < zip_get_num_entries(archive.get(), 0); ++i)
    if (const char* name = zip_get_name(archive.get(), static_cast<zip_uint64_t>(i), 0); name && wanted(name))
      entries[name] = static_cast<zip_uint64_t>(i);
  for (const auto& [name, index] : entries) {
    const auto bytes = read_zip_entry(archive.get(), index, path.string() + "/" + name, where, limit);
    limit -= bytes.size();
    visit(name, bytes);
  }
}

}  // namespace isotrope

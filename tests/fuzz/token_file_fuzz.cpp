#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/data/token_file.h"
#include "isotrope/data/token_file_layout.h"

namespace {

std::uint32_t crc32_of(const std::uint8_t* bytes, std::size_t size) {
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

/// True checksums over whatever the fuzzer wrote: without them nothing behind the first check would ever be reached.
void seal(std::vector<std::uint8_t>& bytes) {
  isotrope::TokenFileHeader header;
  if (bytes.size() < sizeof header) return;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.checksums_offset <= bytes.size())
    header.checksums_crc = crc32_of(bytes.data() + header.checksums_offset, bytes.size() - header.checksums_offset);
  std::memcpy(bytes.data(), &header, sizeof header);
  header.header_crc = crc32_of(bytes.data(), offsetof(isotrope::TokenFileHeader, header_crc));
  std::memcpy(bytes.data(), &header, sizeof header);
}

void read_all(const isotrope::TokenFile& file) {
  std::vector<std::int64_t> ids(file.size());
  file.document_ids(0, file.size());
  for (std::uint64_t i = 0; i < file.size(); ++i) file.document_at(i);
  file.copy(0, ids.size(), ids.data());
  for (std::uint64_t i = 0; i < file.info().document_count; ++i) {
    const auto [begin, count] = file.document(i);
    file.copy(begin, count, ids.data());
  }
  file.verify();
}

}  // namespace

/// Any bytes are either a token file, whose every token and document can then be read, or an Error; also behind true checksums.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint8_t> bytes(data, data + size);
  for (const bool sealed : {false, true}) {
    if (sealed) seal(bytes);
    try {
      read_all(isotrope::TokenFile(std::as_bytes(std::span(bytes)), "fuzz"));
    } catch (const isotrope::Error&) {}
  }
  return 0;
}

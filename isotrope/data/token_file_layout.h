#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace isotrope {

inline constexpr std::array<char, 8> token_file_magic{'I', 'S', 'O', 'T', 'O', 'K', 'E', 'N'};
inline constexpr std::uint32_t token_file_version = 1;
inline constexpr std::uint32_t token_file_block = 1 << 20;

/// The first 256 bytes of a token file, little-endian. docs/formats/token_file.md explains every field.
struct TokenFileHeader {
  std::array<char, 8> magic = token_file_magic;
  std::uint32_t version = token_file_version;
  std::uint32_t header_bytes = 256;
  std::uint32_t token_width = 2;
  std::uint32_t block_bytes = token_file_block;
  std::uint64_t token_count = 0;
  std::uint64_t document_count = 0;
  std::uint64_t vocab_size = 0;
  std::uint64_t source_bytes = 0;
  std::int64_t eos = -1;
  std::array<char, 64> fingerprint{};
  std::array<char, 64> tokenizer_name{};
  std::uint64_t documents_offset = 0;
  std::uint64_t checksums_offset = 0;
  std::uint64_t file_bytes = 0;
  std::uint32_t checksums_crc = 0;
  std::array<char, 32> reserved{};
  std::uint32_t header_crc = 0;
};
static_assert(sizeof(TokenFileHeader) == 256 && std::is_trivially_copyable_v<TokenFileHeader>);
static_assert(offsetof(TokenFileHeader, fingerprint) == 64 && offsetof(TokenFileHeader, header_crc) == 252);

}  // namespace isotrope

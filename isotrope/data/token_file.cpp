#include "isotrope/data/token_file.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "isotrope/base/error.h"
#include "isotrope/data/token_file_layout.h"

namespace isotrope {

namespace {

constexpr std::string_view in_tokens = "tokens";

/// CRC-32 of what `before` is the checksum of, followed by `bytes`.
std::uint32_t crc(std::span<const std::byte> bytes, std::uint32_t before = 0) {
  if (bytes.empty()) return before;  // whose data() may be null, which zlib takes for a wish to begin anew
  return static_cast<std::uint32_t>(::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

template <std::size_t n>
std::string text_of_field(const std::array<char, n>& field) {
  return {field.data(), ::strnlen(field.data(), n)};
}

/// The header with its checksum verified. The version is looked at first: another version's checksum may lie elsewhere.
TokenFileHeader read_header(std::span<const std::byte> bytes, const std::string& file) {
  TokenFileHeader header;
  if (bytes.size() < 12 || std::memcmp(bytes.data(), token_file_magic.data(), 8) != 0)
    throw InputError(in_tokens, "{}: not a token file (`isotrope data pack` makes them)", file);
  std::memcpy(&header.version, bytes.data() + 8, 4);
  if (header.version != token_file_version)
    throw InputError(in_tokens, "{}: format version {}, this program reads {}{}", file, header.version, token_file_version,
                     header.version > token_file_version ? ": a newer isotrope wrote it" : "");
  if (bytes.size() < sizeof header)
    throw InputError(in_tokens, "{}: truncated: {} bytes, the header alone has {}", file, bytes.size(), sizeof header);
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.header_crc != crc(bytes.first(offsetof(TokenFileHeader, header_crc))))
    throw InputError(in_tokens, "{}: the header is corrupt (CRC-32)", file);
  return header;
}

/// Sizes and offsets that contradict each other. Nothing may overflow here: the header comes from outside, checksum or not.
void check_sizes(const TokenFileHeader& header, std::size_t file_bytes, const std::string& file) {
  if (header.file_bytes != file_bytes)
    throw InputError(in_tokens, "{}: {}: the header promises {} bytes, the file has {}", file,
                     header.file_bytes > file_bytes ? "truncated" : "too long", header.file_bytes, file_bytes);
  const std::uint64_t size = file_bytes;
  bool fits = header.header_bytes == sizeof header && (header.token_width == 2 || header.token_width == 4) &&
              header.block_bytes == token_file_block &&
              header.vocab_size <= (header.token_width == 2 ? std::uint64_t{1} << 16 : std::uint64_t{1} << 31) && header.eos >= -1 &&
              header.eos < static_cast<std::int64_t>(header.vocab_size);
  fits = fits && header.token_count <= size / header.token_width && header.document_count <= size / 8 &&
         header.document_count <= header.token_count;
  if (fits) {
    const std::uint64_t tokens_end = sizeof header + header.token_count * header.token_width;
    const std::uint64_t documents = (tokens_end + 7) / 8 * 8, checksums = documents + header.document_count * 8;
    const std::uint64_t blocks = (checksums - sizeof header + token_file_block - 1) / token_file_block;
    fits = header.documents_offset == documents && header.checksums_offset == checksums && size == checksums + blocks * 4;
  }
  if (!fits) throw InputError(in_tokens, "{}: the header contradicts itself", file);
}

}  // namespace

bool is_token_file(const fs::path& path) {
  const MappedFile file(path, in_tokens);
  return file.bytes().size() >= token_file_magic.size() &&
         std::memcmp(file.bytes().data(), token_file_magic.data(), token_file_magic.size()) == 0;
}

TokenFile::TokenFile(const fs::path& path) : map_(path, in_tokens), bytes_(map_.bytes()), path_(path) { parse(); }

TokenFile::TokenFile(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), path_(name) { parse(); }

void TokenFile::parse() {
  const auto file = path_.string();
  const auto header = read_header(bytes_, file);
  check_sizes(header, bytes_.size(), file);
  if (header.checksums_crc != crc(bytes_.subspan(header.checksums_offset)))
    throw InputError(in_tokens, "{}: the table of checksums is corrupt (CRC-32)", file);
  info_ = {.version = header.version,
           .token_width = header.token_width,
           .token_count = header.token_count,
           .document_count = header.document_count,
           .vocab_size = header.vocab_size,
           .source_bytes = header.source_bytes,
           .eos = std::nullopt,
           .fingerprint = text_of_field(header.fingerprint),
           .tokenizer_name = text_of_field(header.tokenizer_name)};
  info_.checksum = header.checksums_crc;
  if (header.eos >= 0) info_.eos = static_cast<TokenId>(header.eos);
  documents_offset_ = header.documents_offset;
  checksums_offset_ = header.checksums_offset;
}

namespace {

/// Widens stored ids and returns the largest.
template <class Stored, class Id>
std::uint64_t widen(const std::byte* from, std::uint64_t count, Id* out) {
  std::uint32_t largest = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    Stored id;
    std::memcpy(&id, from + i * sizeof id, sizeof id);
    largest = std::max<std::uint32_t>(largest, id);
    out[i] = static_cast<Id>(id);
  }
  return largest;
}

}  // namespace

template <class Id>
void TokenFile::copy_ids(std::uint64_t begin, std::uint64_t count, Id* out) const {
  if (begin > size() || count > size() - begin)
    throw InputError(in_tokens, "{}: tokens {} to {} were asked for, the file has {}", path_.string(), begin, begin + count, size());
  if (count == 0) return;
  const auto* from = bytes_.data() + sizeof(TokenFileHeader) + begin * info_.token_width;
  const auto largest = info_.token_width == 2 ? widen<std::uint16_t>(from, count, out) : widen<std::uint32_t>(from, count, out);
  if (largest >= info_.vocab_size)
    throw with_hint(InputError(in_tokens, "{}: an id of {} among tokens {} to {}, the vocabulary has {}: corrupt", path_.string(), largest,
                               begin, begin + count, info_.vocab_size),
                    "isotrope data inspect --verify names the block");
}

void TokenFile::copy(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const { copy_ids(begin, count, out); }
void TokenFile::copy(std::uint64_t begin, std::uint64_t count, std::int64_t* out) const { copy_ids(begin, count, out); }

std::uint64_t TokenFile::document_start(std::uint64_t index) const {
  if (index == info_.document_count) return size();
  std::uint64_t start;
  std::memcpy(&start, bytes_.data() + documents_offset_ + index * 8, 8);
  return start;
}

TokenRange TokenFile::document(std::uint64_t index) const {
  if (index >= info_.document_count)
    throw InputError(in_tokens, "{}: document {} was asked for, the file has {}", path_.string(), index, info_.document_count);
  const auto begin = document_start(index), end = document_start(index + 1);
  if (begin >= end || end > size()) throw InputError(in_tokens, "{}: the boundaries of document {} are corrupt", path_.string(), index);
  return {begin, end - begin};
}

std::uint64_t TokenFile::document_at(std::uint64_t position) const {
  if (position >= size()) throw InputError(in_tokens, "{}: token {} was asked for, the file has {}", path_.string(), position, size());
  std::uint64_t low = 0, high = info_.document_count;  // the first document that starts after `position` lies in (low, high]
  while (low + 1 < high) {
    const auto middle = low + (high - low) / 2;
    (document_start(middle) <= position ? low : high) = middle;
  }
  return low;
}

std::vector<std::int32_t> TokenFile::document_ids(std::uint64_t begin, std::uint64_t count) const {
  if (begin > size() || count > size() - begin)
    throw InputError(in_tokens, "{}: tokens {} to {} were asked for, the file has {}", path_.string(), begin, begin + count, size());
  std::vector<std::int32_t> ids(count);
  if (count == 0) return ids;
  const auto first = document_at(begin);
  auto current = first;
  for (std::uint64_t i = 0; i < count; ++i) {
    while (current + 1 < info_.document_count && document_start(current + 1) <= begin + i) ++current;
    ids[i] = static_cast<std::int32_t>(current - first);
  }
  return ids;
}

void TokenFile::expect_tokenizer(const Tokenizer& tokenizer) const {
  if (tokenizer.fingerprint() == info_.fingerprint) return;
  throw with_hint(
      InputError(in_tokens, "{}: packed with another tokenizer ({}, vocabulary {}) than this one (vocabulary {})", path_.string(),
                 info_.tokenizer_name.empty() ? "unnamed" : info_.tokenizer_name, info_.vocab_size, tokenizer.vocab_size()),
      "pack the text again with this tokenizer, or use the one in the token file's folder");
}

void TokenFile::verify(const std::function<void(std::uint64_t)>& progress) const {
  const auto body = bytes_.subspan(sizeof(TokenFileHeader), checksums_offset_ - sizeof(TokenFileHeader));
  for (std::size_t block = 0, begin = 0; begin < body.size(); ++block, begin += token_file_block) {
    const auto part = body.subspan(begin, std::min<std::size_t>(token_file_block, body.size() - begin));
    std::uint32_t expected;
    std::memcpy(&expected, bytes_.data() + checksums_offset_ + block * 4, 4);
    if (const auto got = crc(part); got != expected)
      throw InputError(in_tokens, "{}: block {} (bytes {} to {}) is corrupt: CRC-32 {:08x}, expected {:08x}", path_.string(), block,
                       sizeof(TokenFileHeader) + begin, sizeof(TokenFileHeader) + begin + part.size(), got, expected);
    if (progress) progress(begin + part.size());
  }
  std::vector<std::int32_t> ids(1 << 16);
  for (std::uint64_t begin = 0; begin < size(); begin += ids.size())
    copy(begin, std::min<std::uint64_t>(ids.size(), size() - begin), ids.data());
  if (size() > 0 && (info_.document_count == 0 || document_start(0) != 0))
    throw InputError(in_tokens, "{}: the first document does not begin at token 0", path_.string());
  for (std::uint64_t i = 0; i < info_.document_count; ++i) document(i);
}

// ---- writing ------------------------------------------------------------------------------------------------------

namespace {

fs::path partial_name(const fs::path& path) { return path.string() + ".partial"; }
fs::path documents_name(const fs::path& path) { return path.string() + ".partial-documents"; }

}  // namespace

TokenFileWriter::TokenFileWriter(const fs::path& path, TokenFileInfo info) : path_(path) {
  set_info(std::move(info));
  file_.emplace(path, partial_name(path), 0, in_tokens);
  const TokenFileHeader placeholder;
  file_->write(std::as_bytes(std::span(&placeholder, 1)));
}

TokenFileWriter::TokenFileWriter(const fs::path& path, TokenFileInfo info, const TokenFilePoint& from) : path_(path) {
  set_info(std::move(info));
  restore(from);
}

void TokenFileWriter::set_info(TokenFileInfo info) {
  info_ = std::move(info);
  info_.version = token_file_version;
  info_.token_width = info_.vocab_size <= std::uint64_t{1} << 16 ? 2 : 4;
  info_.token_count = info_.document_count = info_.source_bytes = 0;
}

TokenFileWriter::~TokenFileWriter() = default;

namespace {

/// Narrows ids to what is stored, little-endian, and returns the largest, negative ones counting as large. A plain loop becomes vectors.
template <class Stored>
std::uint32_t narrow(std::span<const TokenId> ids, std::byte* out) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<std::uint32_t>(ids[i]);
    largest = std::max(largest, id);
    const auto stored = static_cast<Stored>(id);
    std::memcpy(out + i * sizeof stored, &stored, sizeof stored);
  }
  return largest;
}

}  // namespace

void TokenFileWriter::add(std::span<const TokenId> ids) {
  encoded_.resize(ids.size() * info_.token_width);
  const auto largest = info_.token_width == 2 ? narrow<std::uint16_t>(ids, encoded_.data()) : narrow<std::uint32_t>(ids, encoded_.data());
  if (!ids.empty() && largest >= info_.vocab_size)
    throw InputError(in_tokens, "{}: the tokenizer gave id {}, its vocabulary has {}", path_.string(), static_cast<TokenId>(largest),
                     info_.vocab_size);
  append(encoded_);
  info_.token_count += ids.size();
}

void TokenFileWriter::end_document() {
  if (info_.token_count == document_begin_) return;
  starts_.push_back(document_begin_);
  document_begin_ = info_.token_count;
}

void TokenFileWriter::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto count = std::min(bytes.size(), token_file_block - block_.size());
    block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    if (block_.size() == token_file_block) flush_block();
  }
}

void TokenFileWriter::write_out() {
  file_->write(std::span(block_).subspan(written_));
  written_ = block_.size();
}

void TokenFileWriter::flush_block() {
  if (block_.empty()) return;
  checksums_.push_back(crc(block_));
  write_out();
  block_.clear();
  written_ = 0;
}

void TokenFileWriter::finish() {
  end_document();
  info_.document_count = starts_.size();
  TokenFileHeader header;
  header.token_width = info_.token_width;
  header.token_count = info_.token_count;
  header.document_count = info_.document_count;
  header.vocab_size = info_.vocab_size;
  header.source_bytes = info_.source_bytes;
  header.eos = info_.eos.value_or(-1);
  info_.fingerprint.copy(header.fingerprint.data(), header.fingerprint.size());
  info_.tokenizer_name.copy(header.tokenizer_name.data(), header.tokenizer_name.size());

  const std::uint64_t tokens_end = sizeof header + info_.token_count * info_.token_width;
  header.documents_offset = (tokens_end + 7) / 8 * 8;
  append(std::vector<std::byte>(header.documents_offset - tokens_end));
  append(std::as_bytes(std::span(starts_)));
  flush_block();
  header.checksums_offset = file_->size();
  file_->write(std::as_bytes(std::span(checksums_)));
  header.checksums_crc = crc(std::as_bytes(std::span(checksums_)));
  header.file_bytes = file_->size();
  header.header_crc = crc(std::as_bytes(std::span(&header, 1)).first(offsetof(TokenFileHeader, header_crc)));
  file_->write_at(0, std::as_bytes(std::span(&header, 1)));
}

void TokenFileWriter::commit() { file_->commit(); }

// ---- going on in another process ----------------------------------------------------------------------------------

std::uint32_t TokenFileWriter::tokens_crc() const { return crc(block_, crc(std::as_bytes(std::span(checksums_)))); }

TokenFilePoint TokenFileWriter::save() {
  write_out();
  if (!documents_file_) documents_file_.emplace(path_, documents_name(path_), 0, in_tokens);
  const auto ended = std::as_bytes(std::span(starts_).subspan(saved_starts_));
  documents_file_->write(ended);
  documents_crc_ = crc(ended, documents_crc_);
  saved_starts_ = starts_.size();
  return {.tokens = info_.token_count,
          .documents = starts_.size(),
          .document_begin = document_begin_,
          .source_bytes = info_.source_bytes,
          .tokens_crc = tokens_crc(),
          .documents_crc = documents_crc_};
}

void TokenFileWriter::sync() const {
  file_->sync();
  documents_file_->sync();
}

void TokenFileWriter::keep(bool keep) {
  file_->keep(keep);
  if (documents_file_) documents_file_->keep(keep);
}

void TokenFileWriter::restore(const TokenFilePoint& from) {
  const auto partial = partial_name(path_);
  if (!fs::exists(partial) && fs::exists(path_)) {
    // The process was killed after this file got its name and before another one got its own.
    const fs::path copy = partial.string() + "-copy";
    std::error_code error;
    fs::copy_file(path_, copy, fs::copy_options::overwrite_existing, error);
    if (!error) fs::rename(copy, partial, error);
    if (error) throw WorkError(in_tokens, "{}: cannot copy: {}", path_.string(), error.message());
  }
  restore_tokens(from);
  restore_documents(from);
  info_.token_count = from.tokens;
  info_.source_bytes = from.source_bytes;
  document_begin_ = from.document_begin;
  file_.emplace(path_, partial, sizeof(TokenFileHeader) + from.tokens * info_.token_width, in_tokens);
  documents_file_.emplace(path_, documents_name(path_), from.documents * sizeof(std::uint64_t), in_tokens);
  keep(true);
}

/// The checksums of all whole blocks, and what the last one holds so far.
void TokenFileWriter::restore_tokens(const TokenFilePoint& from) {
  const MappedFile map(partial_name(path_), in_tokens);
  if (map.bytes().size() < sizeof(TokenFileHeader) || from.tokens > (map.bytes().size() - sizeof(TokenFileHeader)) / info_.token_width)
    throw InputError(in_tokens, "{}: shorter than it was", map.path().string());
  auto body = map.bytes().subspan(sizeof(TokenFileHeader), from.tokens * info_.token_width);
  for (; body.size() >= token_file_block; body = body.subspan(token_file_block)) checksums_.push_back(crc(body.first(token_file_block)));
  block_.assign(body.begin(), body.end());
  written_ = block_.size();
  if (tokens_crc() != from.tokens_crc) throw InputError(in_tokens, "{}: corrupt (CRC-32)", map.path().string());
}

void TokenFileWriter::restore_documents(const TokenFilePoint& from) {
  const MappedFile map(documents_name(path_), in_tokens);
  if (from.documents > map.bytes().size() / sizeof(std::uint64_t))
    throw InputError(in_tokens, "{}: shorter than it was", map.path().string());
  const auto bytes = map.bytes().first(from.documents * sizeof(std::uint64_t));
  documents_crc_ = crc(bytes);
  if (documents_crc_ != from.documents_crc) throw InputError(in_tokens, "{}: corrupt (CRC-32)", map.path().string());
  starts_.resize(from.documents);
  if (!bytes.empty()) std::memcpy(starts_.data(), bytes.data(), bytes.size());
  saved_starts_ = starts_.size();
}

}  // namespace isotrope

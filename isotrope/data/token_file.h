#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "isotrope/base/file.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// What a token file says about itself. Format: docs/formats/token_file.md.
struct TokenFileInfo {
  std::uint32_t version = 1;
  std::uint32_t token_width = 2;  ///< bytes a token: 2 up to a vocabulary of 65,536, else 4
  std::uint64_t token_count = 0;
  std::uint64_t document_count = 0;
  std::uint64_t vocab_size = 0;    ///< every id is below it
  std::uint64_t source_bytes = 0;  ///< UTF-8 bytes of the documents' text
  std::optional<TokenId> eos;      ///< appended after every document
  std::uint32_t checksum = 0;      ///< over the checksums of all blocks: two files of equal checksum hold the same tokens
  std::string fingerprint;         ///< Tokenizer::fingerprint(), 64 hexadecimal digits
  std::string tokenizer_name;      ///< for people; at most 64 bytes
};

/// Whether the file begins as a token file does, whatever its name. Throws InputError when it cannot be read.
bool is_token_file(const fs::path& path);

struct TokenRange {
  std::uint64_t begin, count;
};

/// A memory-mapped token file. Opening checks the header and the sizes, in time that does not depend on the number of tokens.
/// Throws InputError: no token file, a newer version, truncated, corrupt header. Safe for any number of threads.
class TokenFile {
 public:
  explicit TokenFile(const fs::path& path);
  /// A file's bytes in memory that outlives this object; `name` stands for the path in errors.
  TokenFile(std::span<const std::byte> bytes, const std::string& name);

  const TokenFileInfo& info() const { return info_; }
  std::uint64_t size() const { return info_.token_count; }
  const fs::path& path() const { return path_; }

  /// Tokens [begin, begin + count) into `out`. Throws InputError past the end and for an id outside the vocabulary (a corrupt file).
  void copy(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const;
  void copy(std::uint64_t begin, std::uint64_t count, std::int64_t* out) const;

  /// The tokens of document `index`, its end-of-text token included.
  TokenRange document(std::uint64_t index) const;
  /// The document that token `position` belongs to; O(log documents).
  std::uint64_t document_at(std::uint64_t position) const;
  /// For each of `count` tokens from `begin`, its document, counted from the first token's: 0 0 0 1 1 2 …
  std::vector<std::int32_t> document_ids(std::uint64_t begin, std::uint64_t count) const;

  /// Throws InputError unless ids of this file mean to `tokenizer` what they meant to the one that wrote it.
  void expect_tokenizer(const Tokenizer& tokenizer) const;

  /// Checks every checksum, every document boundary and every id; InputError names the block and its bytes. `progress` gets bytes done.
  void verify(const std::function<void(std::uint64_t)>& progress = {}) const;

 private:
  void parse();
  template <class Id>
  void copy_ids(std::uint64_t begin, std::uint64_t count, Id* out) const;
  std::uint64_t document_start(std::uint64_t index) const;

  MappedFile map_;
  std::span<const std::byte> bytes_;
  fs::path path_;
  TokenFileInfo info_;
  std::uint64_t documents_offset_ = 0, checksums_offset_ = 0;
};

/// How far a token file was written: with it, another process goes on with the unfinished one.
struct TokenFilePoint {
  std::uint64_t tokens = 0;
  std::uint64_t documents = 0, document_begin = 0;  ///< those ended, and the first token of the next
  std::uint64_t source_bytes = 0;
  std::uint32_t tokens_crc = 0, documents_crc = 0;  ///< what the unfinished files must hold
};

/// Writes a token file as a stream: memory is a block and 8 bytes a document. Nothing stands at `path` before commit(): until then it is
/// `path`.partial and, after a save(), `path`.partial-documents. Failures to write are WorkErrors.
class TokenFileWriter {
 public:
  /// Of `info` the vocabulary, fingerprint, eos and name are used; the rest is counted.
  TokenFileWriter(const fs::path& path, TokenFileInfo info);
  /// Goes on at `from`; what was written after it goes. Throws InputError when the unfinished files do not hold what they should; they
  /// are left as they are. A file that has got its final name meanwhile is copied.
  TokenFileWriter(const fs::path& path, TokenFileInfo info, const TokenFilePoint& from);
  ~TokenFileWriter();

  /// Tokens of the current document. InputError for an id outside the vocabulary.
  void add(std::span<const TokenId> ids);
  /// Ends the current document; one without tokens leaves no trace.
  void end_document();
  void add_source_bytes(std::uint64_t bytes) { info_.source_bytes += bytes; }
  /// Writes what follows the tokens, and the header. After it only commit() may be called.
  void finish();
  void commit();
  const TokenFileInfo& info() const { return info_; }

  /// Writes out all that was added. Once sync() has returned, this is a point to go on from; keep() leaves the files for that.
  TokenFilePoint save();
  /// May be called by another thread while this one goes on writing.
  void sync() const;
  void keep(bool keep);

 private:
  void set_info(TokenFileInfo info);
  void restore(const TokenFilePoint& from);
  void restore_tokens(const TokenFilePoint& from);
  void restore_documents(const TokenFilePoint& from);
  std::uint32_t tokens_crc() const;
  void append(std::span<const std::byte> bytes);
  void write_out();
  void flush_block();

  fs::path path_;
  TokenFileInfo info_;
  std::optional<AtomicFile> file_, documents_file_;
  std::vector<std::byte> block_, encoded_;
  std::size_t written_ = 0;  ///< of block_
  std::vector<std::uint64_t> starts_;
  std::size_t saved_starts_ = 0;
  std::uint32_t documents_crc_ = 0;
  std::vector<std::uint32_t> checksums_;
  std::uint64_t document_begin_ = 0;
};

}  // namespace isotrope

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "isotrope/data/documents.h"
#include "isotrope/data/token_file.h"

namespace isotrope {

/// Bytes [begin, end) of the inputs' uncompressed text, one input after the other. A boundary inside a character moves to its end.
struct ByteRange {
  std::uint64_t begin, end;
};

struct PackOptions {
  std::vector<fs::path> inputs;       ///< files and folders (list_inputs)
  fs::path output;                    ///< folder for train.tokens, validation.tokens and the tokenizer's files
  std::string tokenizer_name;         ///< for people, kept in the token files
  DocumentBreak documents;            ///< of text files; a JSON line is a document
  std::string text_key = "text";      ///< of JSON lines
  bool append_eos = true;             ///< after every document
  bool parse_special_tokens = false;  ///< names of special tokens in the text become those tokens, not plain text
  bool strict = false;                ///< text that is not UTF-8 is an error, not U+FFFD
  std::uint64_t skip_bad = 0;         ///< bad JSON lines passed over before one is an error
  double validation_fraction = 0;     ///< of the documents, chosen by a hash of (seed, first 4,096 bytes): equal documents go together
  double validation_tail = 0;         ///< the last part of the inputs' bytes
  std::optional<ByteRange> validation_bytes, train_bytes;  ///< without train_bytes: all that validation_bytes leaves
  std::uint64_t seed = 0;
  int threads = 1;
  std::size_t piece_bytes = 1 << 20;     ///< a longer document is encoded in pieces, where that leaves its ids as they are
  bool restart = false;                  ///< an earlier pack that was cut off is not gone on with
  double journal_seconds = 5;            ///< between two journals; what a kill can cost
  std::function<bool()> stop_requested;  ///< asked now and then; true ends the work with Interrupted
};

struct PackReport {
  std::uint64_t files = 0, skipped_records = 0, replaced_documents = 0;  ///< replaced: documents with U+FFFD for broken bytes
  TokenFileInfo train;
  std::optional<TokenFileInfo> validation;
  double seconds = 0;
};

/// Encodes the inputs into token files, streaming and on several threads; the files do not depend on the number of threads.
/// Memory: some pieces a thread, the longest line or uncuttable document, and 8 bytes a document.
/// No token file appears in the output folder before all text is encoded and on disk; an earlier train.tokens is replaced at that moment.
/// The folder is locked meanwhile. A journal in it lets a pack that was killed, stopped or out of disk go on: the next call with the same
/// inputs and options continues and writes the bytes of an undisturbed one; any other call removes what is left, with a note.
///
/// Throws InputError: unreadable or empty input, a bad JSON line (file and line), broken UTF-8 under strict (file and byte),
/// an empty training or validation part. UsageError: contradicting options. WorkError: writing fails, or
/// another process packs into the folder. Interrupted.
PackReport pack(const Tokenizer& tokenizer, const PackOptions& options);

}  // namespace isotrope

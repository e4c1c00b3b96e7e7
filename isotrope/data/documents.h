#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/base/file.h"

namespace isotrope {

/// Where one document of a text file ends and the next begins.
struct DocumentBreak {
  enum class Kind { none, line, blank_lines, separator } kind = Kind::none;
  std::string separator;

  /// "none" (the file is one document), "line", "blank-lines", or a separator string in which \n and \t are a new line and a tab.
  static DocumentBreak parse(std::string_view text);
};

/// The files that the inputs mean, in order: files as given; folders recursively, sorted by path, what ends in .txt .text .md .jsonl
/// .ndjson, each also with .gz .xz .zst, without hidden files. Throws InputError for a missing input and for a folder without such files.
std::vector<fs::path> list_inputs(const std::vector<fs::path>& inputs);

/// Whether a file's records are JSON lines, by its name.
bool is_json_lines(const fs::path& path);

/// A part of a document. Pieces of one document follow each other; their texts joined are the document's.
struct TextPiece {
  std::string text;
  std::uint64_t offset = 0;  ///< of its first byte in the file's uncompressed text
  bool begins_document = true, ends_document = true;
};

/// Cuts a stream of text into documents, and documents longer than `piece_bytes` into pieces, at places where `is_seam` allows it;
/// without one the piece grows until there is one. Empty documents are left out. Memory: a few pieces.
class DocumentSplitter {
 public:
  /// is_seam(left, right): whether cutting here leaves the ids as they are; called with up to 256 bytes on either side.
  using Seam = std::function<bool(std::string_view left, std::string_view right)>;
  using Sink = std::function<void(TextPiece)>;

  DocumentSplitter(DocumentBreak document_break, std::size_t piece_bytes, Seam is_seam, Sink sink);
  void feed(std::string_view text);
  /// Ends the document in progress: the end of the file, or of a byte range of it.
  void finish();
  /// Bytes of the file that are passed over between two documents (a range that is not wanted).
  void skip(std::uint64_t bytes) { offset_ += bytes; }

  /// What a splitter knows between two feeds, but for the text that it has not handed on, which begins at `offset`.
  struct State {
    std::uint64_t offset = 0;
    std::size_t next_try = 0;  ///< 0: as at the beginning
    bool in_document = false;
  };
  State state() const { return {offset_, next_try_, in_document_}; }
  /// Makes a new splitter the one that had this state and this text.
  void restore(const State& state, std::string text);

 private:
  struct Found {
    std::size_t begin, end;
  };
  bool find_break(Found& found, bool final);
  bool find_line(Found& found, bool final);
  bool find_blank_lines(Found& found, bool final);
  void take_documents(bool final);
  void take_piece();
  std::size_t find_cut() const;
  void emit(std::size_t length, bool ends_document);
  void drop(std::size_t length);

  DocumentBreak break_;
  std::size_t piece_bytes_, next_try_;
  Seam is_seam_;
  Sink sink_;
  std::string pending_;  ///< text not yet handed on, from `start_`
  std::size_t start_ = 0, searched_ = 0;
  std::uint64_t offset_ = 0;  ///< of pending_[start_] in the file
  bool in_document_ = false;  ///< a piece of the current document has been handed on
};

}  // namespace isotrope

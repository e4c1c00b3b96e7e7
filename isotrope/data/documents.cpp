#include "isotrope/data/documents.h"

#include <algorithm>
#include <array>

#include "isotrope/base/error.h"
#include "isotrope/io/compressed.h"

namespace isotrope {

DocumentBreak DocumentBreak::parse(std::string_view text) {
  if (text.empty() || text == "none") return {};
  if (text == "line") return {Kind::line, {}};
  if (text == "blank-lines") return {Kind::blank_lines, {}};
  DocumentBreak separator{Kind::separator, {}};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 'n' || text[i + 1] == 't');
    separator.separator += !escape ? text[i] : text[++i] == 'n' ? '\n' : '\t';
  }
  return separator;
}

bool is_json_lines(const fs::path& path) {
  const auto extension = without_compression(path).extension();
  return extension == ".jsonl" || extension == ".ndjson";
}

namespace {

bool is_text_by_name(const fs::path& path) {
  const auto extension = without_compression(path).extension();
  return extension == ".txt" || extension == ".text" || extension == ".md" || is_json_lines(path);
}

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const bool hidden = at->path().filename().string().starts_with('.');
    if (hidden && at->is_directory()) at.disable_recursion_pending();
    if (!hidden && at->is_regular_file() && is_text_by_name(at->path())) files.push_back(at->path());
  }
  if (error) throw InputError("data", "{}: cannot list: {}", folder.string(), error.message());
  if (files.empty())
    throw InputError("data", "{}: no .txt, .text, .md, .jsonl or .ndjson file in this folder (also with .gz, .xz, .zst)", folder.string());
  std::ranges::sort(files);
  return files;
}

}  // namespace

std::vector<fs::path> list_inputs(const std::vector<fs::path>& inputs) {
  std::vector<fs::path> files;
  for (const auto& input : inputs) {
    if (!fs::exists(input)) throw InputError("data", "{}: no such file or folder", input.string());
    if (!fs::is_directory(input)) {
      files.push_back(input);
      continue;
    }
    const auto below = files_below(input);
    files.insert(files.end(), below.begin(), below.end());
  }
  return files;
}

// ---- splitting ----------------------------------------------------------------------------------------------------

namespace {

constexpr std::size_t context_bytes = 256;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }
bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

DocumentSplitter::DocumentSplitter(DocumentBreak document_break, std::size_t piece_bytes, Seam is_seam, Sink sink)
    : break_(std::move(document_break)),
      piece_bytes_(piece_bytes),
      next_try_(piece_bytes),
      is_seam_(std::move(is_seam)),
      sink_(std::move(sink)) {}

void DocumentSplitter::restore(const State& state, std::string text) {
  pending_ = std::move(text);
  offset_ = state.offset;
  in_document_ = state.in_document;
  if (state.next_try > 0) next_try_ = state.next_try;
}

void DocumentSplitter::feed(std::string_view text) {
  pending_ += text;
  take_documents(false);
  if (pending_.size() - start_ >= next_try_) take_piece();
  // What has been handed on is dropped once a round, not once a document: lines are short and the buffer is not.
  pending_.erase(0, start_);
  searched_ -= start_;
  start_ = 0;
}

void DocumentSplitter::finish() {
  take_documents(true);
  const auto rest = pending_.size() - start_;
  emit(rest, true);
  offset_ += rest;
  pending_.clear();
  start_ = searched_ = 0;
}

void DocumentSplitter::take_documents(bool final) {
  for (Found found{}; find_break(found, final);) {
    emit(found.begin - start_, true);
    drop(found.end - start_);
    searched_ = start_;
  }
}

/// The next break at or after searched_, which moves past what needs no second look.
bool DocumentSplitter::find_break(Found& found, bool final) {
  switch (break_.kind) {
    case DocumentBreak::Kind::none: return false;
    case DocumentBreak::Kind::line: return find_line(found, final);
    case DocumentBreak::Kind::blank_lines: return find_blank_lines(found, final);
    case DocumentBreak::Kind::separator: break;
  }
  const auto at = pending_.find(break_.separator, searched_);
  if (at == std::string::npos) {
    const auto overlap = break_.separator.size() - 1;
    searched_ = std::max(searched_, pending_.size() - std::min(pending_.size(), overlap));
    return false;
  }
  found = {at, at + break_.separator.size()};
  return true;
}

bool DocumentSplitter::find_line(Found& found, bool) {
  const auto at = pending_.find('\n', searched_);
  searched_ = at == std::string::npos ? pending_.size() : at;
  if (at == std::string::npos) return false;
  found = {at > start_ && pending_[at - 1] == '\r' ? at - 1 : at, at + 1};
  return true;
}

/// A run of white space with two new lines or more in it, up to the last of them; at the end of the text one new line is enough.
bool DocumentSplitter::find_blank_lines(Found& found, bool final) {
  for (;;) {
    const auto at = pending_.find('\n', searched_);
    searched_ = at == std::string::npos ? pending_.size() : at;
    if (at == std::string::npos) return false;
    auto end = at + 1;
    while (end < pending_.size() && is_space(pending_[end])) ++end;
    if (end == pending_.size() && !final) return false;  // the run may go on in what comes next
    const bool at_end = end == pending_.size();
    const auto last = pending_.rfind('\n', end - 1);
    if (last > at || at_end) {
      found = {at > start_ && pending_[at - 1] == '\r' ? at - 1 : at, at_end ? end : last + 1};
      return true;
    }
    searched_ = end;
  }
}

void DocumentSplitter::take_piece() {
  while (pending_.size() - start_ >= next_try_) {
    const auto cut = find_cut();
    if (cut == 0) {
      next_try_ *= 2;  // looking again after every few bytes would be quadratic
      return;
    }
    emit(cut - start_, false);
    drop(cut - start_);
    next_try_ = piece_bytes_;
  }
}

/// A place to cut, the nearest before the wanted size: at a new line or before a space between two visible characters, where the seam
/// holds.
/// 0 when there is none. The bytes that may be part of a break stay behind.
std::size_t DocumentSplitter::find_cut() const {
  const std::size_t reserve = break_.separator.size() + 2;
  const auto available = pending_.size() - start_;
  const auto wanted = std::min(std::max(next_try_, piece_bytes_), available - std::min(available, reserve));
  for (const bool at_line : {true, false}) {
    int tries = 0;
    for (auto p = start_ + wanted; p > start_ + wanted / 2 && p > start_ + 2 && tries < 16; --p) {
      const bool candidate = at_line ? pending_[p - 1] == '\n' && !is_space(pending_[p - 2]) && !is_space(pending_[p])
                                     : pending_[p] == ' ' && !is_space(pending_[p - 1]) && !is_space(pending_[p + 1]);
      if (!candidate) continue;
      ++tries;
      auto left = p - std::min(context_bytes, p - start_);
      auto right = std::min(pending_.size(), p + context_bytes);
      while (left < p && continues_character(pending_[left])) ++left;
      while (right > p && right < pending_.size() && continues_character(pending_[right])) --right;
      const std::string_view text = pending_;
      if (is_seam_(text.substr(left, p - left), text.substr(p, right - p))) return p;
    }
  }
  return 0;
}

void DocumentSplitter::emit(std::size_t length, bool ends_document) {
  const bool begins = !in_document_;
  in_document_ = !ends_document;
  if (ends_document) next_try_ = piece_bytes_;
  if (length == 0 && begins) return;
  sink_({.text = pending_.substr(start_, length), .offset = offset_, .begins_document = begins, .ends_document = ends_document});
}

void DocumentSplitter::drop(std::size_t length) {
  start_ += length;
  offset_ += length;
  searched_ = std::max(searched_, start_);
}

}  // namespace isotrope

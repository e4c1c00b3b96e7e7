#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/data/documents.h"
#include "isotrope/data/pack.h"
#include "isotrope/data/token_file.h"

namespace isotrope {

inline constexpr std::string_view in_data = "data";  ///< where messages of packing say they come from

/// The token file that a text goes into.
enum class PackPart { train, validation, none };

/// Where a pack stands between two reads: every text that ends before `splitter.offset` has been handed on.
struct PackPosition {
  std::uint64_t file = 0;               ///< index of the input
  DocumentSplitter::State splitter;     ///< of JSON lines only `offset` counts: where the next line begins
  std::uint64_t read = 0;               ///< bytes of the input's text that have been read
  std::uint64_t line = 0;               ///< JSON lines behind `splitter.offset`
  PackPart part = PackPart::train;      ///< of the document in progress
  std::uint64_t text = 0, segment = 0;  ///< bytes of text that have been read, and byte ranges that are over, of all inputs
  std::uint64_t consumed = 0;           ///< bytes of the input files: what progress counts
};

/// All that another process must know to go on with a pack.
struct PackState {
  PackPosition position;
  std::uint64_t skipped = 0, replaced = 0;
  std::string first_bad;
  TokenFilePoint train;
  std::optional<TokenFilePoint> validation;
};

/// Digests of all that decides the bytes of a pack: options, tokenizer and version of this program; names, sizes, times and beginnings of
/// the inputs. Not of threads and --skip-bad: a pack that got so far is the same with any.
struct PackIdentity {
  std::string settings, inputs;
};

/// Nothing when an input is not a regular file, which may give another text the second time.
std::optional<PackIdentity> identify_pack(const Tokenizer& tokenizer, const PackOptions& options, const std::vector<fs::path>& files);

/// The journal's name in the output folder. Format: docs/formats/pack_journal.md.
inline constexpr std::string_view pack_journal_name = "pack.journal";

std::string pack_journal_text(const PackIdentity& identity, const PackState& state);
/// `name` stands for the journal in errors. Throws InputError, whose message completes "begins anew: …", when it is damaged or another
/// pack's.
PackState parse_pack_journal(std::string_view text, const std::string& name, const PackIdentity& identity);

}  // namespace isotrope

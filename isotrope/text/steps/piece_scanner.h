#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isotrope/text/simd/byte_masks.h"
#include "isotrope/text/steps/pattern.h"
#include "isotrope/text/steps/word_batch.h"

namespace isotrope {

/// Cuts text into the pieces of a pattern, some hundreds at a time: bytes become bit masks by vector instructions, and the places where
/// pieces start follow from the masks by shifts. The pieces are those of next_piece(), which takes over for one longer than a chunk.
class PieceScanner {
 public:
  static constexpr std::size_t chunk = 4096;                     ///< bytes looked at in one go
  static constexpr std::size_t padding = 64;                     ///< bytes that may be read behind a batch
  static constexpr std::size_t longest_batch = chunk + padding;  ///< bytes, unless the batch is one piece

  /// text  valid UTF-8; must live until the last batch
  void start(Pattern pattern, std::string_view text);
  /// The next pieces, each of which begins where the one before it ends, the first at 0; valid until the next call. False at the end of
  /// the text.
  bool next(WordBatch& batch);
  /// Bytes of the text that earlier batches held.
  std::size_t position() const { return position_; }

 private:
  static constexpr std::size_t most_blocks = longest_batch / 64 + 1;

  void classify_beyond_ascii();
  void start_gpt2();
  void start_llama3(unsigned digits);
  void start_by_pieces(std::size_t size);
  void join_last_spaces(std::size_t size);
  void start_at_last_spaces(std::size_t block, std::uint64_t ends_of_runs);
  void start_in_numbers(unsigned digits);
  void start_around_newlines();
  void part_contractions(bool any_case);
  std::size_t collect_ends(std::size_t limit);

  bool bit(const std::uint64_t simd::ByteMasks::* mask, std::size_t i) const { return masks_[i / 64].*mask >> (i % 64) & 1; }
  bool starts(std::size_t i) const { return starts_[i / 64] >> (i % 64) & 1; }
  void set_start(std::size_t i) { starts_[i / 64] |= std::uint64_t{1} << (i % 64); }
  void clear_start(std::size_t i) { starts_[i / 64] &= ~(std::uint64_t{1} << (i % 64)); }
  /// The first byte of the run of white space that byte i − 1 ends, or i when that is none.
  std::size_t spaces_before(std::size_t i) const;
  std::size_t spaces_after(std::size_t i) const;

  Pattern pattern_ = Pattern::gpt2;
  std::string_view text_;
  std::size_t position_ = 0;
  const char* base_ = nullptr;
  std::size_t blocks_ = 0;
  simd::ByteMasks masks_[most_blocks + 1];
  std::uint64_t starts_[most_blocks + 1];              ///< a bit for each byte that begins a piece
  std::uint32_t bounds_[1 + longest_batch + 64] = {};  ///< 0, then where pieces end
  char tail_[longest_batch + 2 * padding];             ///< the last bytes of the text, so that reading past them is safe
};

}  // namespace isotrope

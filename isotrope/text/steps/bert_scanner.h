#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isotrope/text/simd/bert_masks.h"
#include "isotrope/text/steps/bert_characters.h"
#include "isotrope/text/steps/word_batch.h"

namespace isotrope {

/// Cuts text that is not normalized yet into the words that BertNormalizer and BertPreTokenizer would make of it, some hundreds at a
/// time. Words come uncleaned, but with ASCII capitals made small where the normalizer does that.
class BertScanner {
 public:
  static constexpr std::size_t chunk = 4096;  ///< bytes looked at in one go

  /// text  valid UTF-8; must live, as `characters`, until the last batch
  void start(const BertCharacters& characters, std::string_view text);
  /// The next words, none or more, each shorter than a chunk; or, as a batch of one, a word of a chunk or longer, capitals as they are.
  /// False at the end of the text.
  bool next(WordBatch& batch);
  /// Bytes of the text that earlier batches held.
  std::size_t position() const { return position_; }

 private:
  static constexpr std::size_t padding = 64, most_blocks = chunk / 64 + 1;

  void next_long_word(WordBatch& batch);
  /// Lists where words begin and end; returns the number of ends.
  std::size_t collect(const char* text, std::size_t blocks, std::size_t& begun);

  const BertCharacters* characters_ = nullptr;
  simd::BertMaskFunction masks_of_ = simd::bert_masks().fastest();
  std::string_view text_;
  std::size_t position_ = 0;
  simd::BertMasks masks_[most_blocks];
  std::uint32_t begins_[chunk + 2 * padding], ends_[chunk + 2 * padding];
  char tail_[chunk + 2 * padding];    ///< the last bytes of the text, so that reading past them is safe
  char copied_[chunk + 2 * padding];  ///< the words' bytes
};

}  // namespace isotrope

#pragma once

#include <cstddef>
#include <cstdint>

#include "isotrope/text/simd/variants.h"

namespace isotrope::simd {

/// What the 64 bytes of a block are to BERT's splitting, a bit each, the first byte's the lowest. A bit in none of the masks: a letter or
/// a digit of ASCII.
struct BertMasks {
  std::uint64_t separator;  ///< blank, tab, line feed, carriage return
  std::uint64_t alone;      ///< ASCII punctuation, a word each
  std::uint64_t odd;        ///< first bytes of characters beyond ASCII, and the other controls: a table knows them
  std::uint64_t tail;       ///< other bytes of characters beyond ASCII
};

/// Classifies `blocks` blocks of 64 bytes each and copies them to `copy`, ASCII capitals as small letters where `lowercase` asks for it.
/// `copy` may be `text`.
using BertMaskFunction = void (*)(const char* text, std::size_t blocks, bool lowercase, char* copy, BertMasks* masks);
const Variants<BertMaskFunction>& bert_masks();

}  // namespace isotrope::simd

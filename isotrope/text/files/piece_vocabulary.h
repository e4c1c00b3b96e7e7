#pragma once

#include <optional>
#include <string>
#include <vector>

#include "isotrope/io/gguf.h"
#include "isotrope/text/files/scored_vocabulary.h"

namespace isotrope {

/// A vocabulary as GGUF stores it: pieces by id with their kinds, and the merges or the scores that choose among them. Checked as far as
/// that goes without a tokenizer: lists of one length, ids in range, kinds known.
struct PieceVocabulary {
  /// How pieces are chosen: "gpt2" by merges of bytes, "llama" by scores with pieces for single bytes, "bert" the longest first.
  std::string model;
  std::string pre;                  ///< the name that llama.cpp gives the pre-tokenizer
  std::vector<std::string> pieces;  ///< "gpt2": in the byte alphabet; "llama": as SentencePiece writes them
  std::vector<ScoredVocabulary::Type> kinds;
  std::vector<float> scores;                       ///< by id, or empty
  std::optional<std::vector<std::string>> merges;  ///< "left right", in order; nothing where the file has no list
  std::optional<TokenId> bos, eos, eot, unknown, padding, cls, sep, mask;
  std::optional<bool> add_bos, add_eos, add_space_prefix;  ///< where the file says so
  std::string chat_template;
  std::string file;  ///< named in errors
};

/// The vocabulary in a GGUF's metadata. Throws InputError when there is none or it contradicts itself.
PieceVocabulary read_vocabulary(const GgufFile& file);

/// The same as a tokenizer.json says it. Throws InputError for a `model` or `pre` that is not supported, by name.
TokenizerDefinition define_tokenizer(const PieceVocabulary& vocabulary);

/// The metadata tokenizer.* for the definition of a byte-level BPE tokenizer, with unused pieces up to `size` (a model padded past its tokenizer).
/// Throws InputError, naming it, for a tokenizer of another kind or with a pre-tokenizer that GGUF has no name for.
GgufMetadata vocabulary_metadata(const TokenizerDefinition& definition, std::size_t size);

}  // namespace isotrope

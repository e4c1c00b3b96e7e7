#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "isotrope/io/gguf.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// What a piece is, by GGUF's number for it.
enum class PieceKind : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// A vocabulary as GGUF and llama2.c store it: pieces by id with their kinds, and the merges or the scores that choose among them. Checked as
/// far as that goes without a tokenizer: lists of one length, ids in range, kinds known.
struct PieceVocabulary {
  std::string model;                ///< how pieces are chosen: "gpt2" by merges of bytes, "llama" by scores with pieces for single bytes
  std::string pre;                  ///< the name that llama.cpp gives the pre-tokenizer
  std::vector<std::string> pieces;  ///< "gpt2": in the byte alphabet
  std::vector<PieceKind> kinds;
  std::vector<float> scores;                       ///< by id, or empty
  std::optional<std::vector<std::string>> merges;  ///< "left right", in order; nothing where the file has no list
  std::optional<TokenId> bos, eos, eot, unknown, padding;
  std::optional<bool> add_bos, add_eos, add_space_prefix;  ///< where the file says so
  std::string chat_template;
  std::string file;  ///< named in errors
};

/// The vocabulary in a GGUF's metadata. Throws InputError when there is none or it contradicts itself.
PieceVocabulary read_vocabulary(const GgufFile& file);

/// The vocabulary of a tokenizer file of llama2.c: pieces spelled as SentencePiece does, <unk>, <s> and </s> as ids 0, 1 and 2.
PieceVocabulary read_llama2c_pieces(const std::filesystem::path& path);

/// The tokenizer of a vocabulary. Throws InputError for a `model` or `pre` that is not supported, by name.
std::shared_ptr<const Tokenizer> make_tokenizer(const PieceVocabulary& vocabulary);

/// The metadata tokenizer.* for a byte-level BPE tokenizer, with unused pieces up to `size` (a model padded past its tokenizer).
/// Throws InputError, naming it, for a tokenizer of another kind or with a pre-tokenizer that GGUF has no name for.
GgufMetadata vocabulary_metadata(const Tokenizer& tokenizer, std::size_t size);

}  // namespace isotrope

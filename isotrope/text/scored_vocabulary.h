#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/tokenizer_definition.h"

namespace isotrope {

/// A vocabulary of BPE over characters whose merges go by the score of what they give, as SentencePiece's BPE models, llama2.c and GGUF
/// (`tokenizer.ggml.model` = llama) store it. Spaces are written "▁" in it.
struct ScoredVocabulary {
  /// The numbers are those of sentencepiece_model.proto and of GGUF's tokenizer.ggml.token_type.
  enum class Type : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };
  std::vector<Piece> pieces;            ///< by id
  bool add_dummy_prefix = true;         ///< a space before every text
  bool add_bos = true;                  ///< before every text, when there is one
  SpecialTokens special;                ///< those that the file names; unk is the piece of type unknown
  std::string file = "the vocabulary";  ///< named in errors
};

/// The same as a tokenizer.json says it: the highest score becomes the first merge. Ids equal SentencePiece's where no two pieces have the
/// same score. Throws InputError for an empty or doubled piece, a score that is no number, some byte pieces without all 256, user-defined
/// pieces beside a dummy prefix, an unused piece that merges would reach.
TokenizerDefinition define_tokenizer(const ScoredVocabulary& vocabulary);

/// llama2.c's tokenizer.bin: int32 longest length, then for each token float32 score, int32 length, bytes; ids 0, 1, 2 are <unk>, <s>,
/// </s>.
ScoredVocabulary read_llama2c_vocabulary(std::string_view bytes, std::string_view file);
/// A SentencePiece model (sentencepiece_model.proto) of type BPE that does not normalize. Throws InputError for any other, naming what it
/// has.
ScoredVocabulary read_sentencepiece_model(std::string_view bytes, std::string_view file);

}  // namespace isotrope

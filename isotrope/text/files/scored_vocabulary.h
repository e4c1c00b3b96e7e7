#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// A vocabulary of pieces with scores, as SentencePiece's models, llama2.c and GGUF (`tokenizer.ggml.model` = llama, t5) store it: of a
/// unigram model, or of BPE over characters whose merges go by the score of what they give. Spaces are written "▁" in it.
struct ScoredVocabulary {
  using Type = PieceType;
  enum class Model : std::uint8_t { unigram = 1, bpe = 2 };  ///< the numbers are those of TrainerSpec.model_type
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };
  std::vector<Piece> pieces;     ///< by id
  bool add_dummy_prefix = true;  ///< a space before every text
  bool remove_extra_whitespaces = false;
  bool escape_whitespaces = true;
  bool treat_whitespace_as_suffix = false;
  std::string charsmap;                      ///< precompiled_charsmap
  std::string unknown_surface = " \u2047 ";  ///< what an unknown piece is decoded to
  Model model = Model::bpe;
  bool is_sentencepiece = false;        ///< ids are to be SentencePiece's for every text, whatever rules that takes
  bool add_bos = true;                  ///< before every text, when there is one
  SpecialTokens special;                ///< those that the file names; unk is the piece of type unknown
  std::string file = "the vocabulary";  ///< named in errors
};

/// The same as a tokenizer.json says it; of BPE the highest score becomes the first merge. What it cannot say goes into
/// TokenizerDefinition::sentencepiece, so that ids equal SentencePiece's. Throws InputError for an empty or doubled piece, a score that is no
/// number, some byte pieces without all 256, no unknown piece where one is needed; of BPE, pieces whose merges cannot be told.
TokenizerDefinition define_tokenizer(const ScoredVocabulary& vocabulary);

/// llama2.c's tokenizer.bin: int32 longest length, then for each token float32 score, int32 length, bytes; ids 0, 1, 2 are <unk>, <s>,
/// </s>.
ScoredVocabulary read_llama2c_vocabulary(std::string_view bytes, std::string_view file);
/// A SentencePiece model (sentencepiece_model.proto) of type UNIGRAM or BPE. Throws InputError for any other, naming what it has.
ScoredVocabulary read_sentencepiece_model(std::string_view bytes, std::string_view file);

}  // namespace isotrope

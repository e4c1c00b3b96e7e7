#pragma once

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "isotrope/text/encode_parts.h"
#include "isotrope/text/files/tokenizer_json.h"
#include "isotrope/text/models/bert_encoder.h"
#include "isotrope/text/models/bpe_model.h"
#include "isotrope/text/models/character_bpe.h"
#include "isotrope/text/models/unigram.h"
#include "isotrope/text/models/word_level.h"
#include "isotrope/text/models/word_piece.h"
#include "isotrope/text/steps/added_tokens.h"
#include "isotrope/text/steps/decoder.h"
#include "isotrope/text/steps/encoding.h"
#include "isotrope/text/steps/normalizer.h"
#include "isotrope/text/steps/post_processor.h"
#include "isotrope/text/steps/pre_tokenizer.h"
#include "isotrope/text/steps/sentencepiece_normalizer.h"
#include "isotrope/text/steps/space_cuts.h"
#include "isotrope/text/steps/tokenizer_definition.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// A tokenizer as tokenizer.json describes it: added tokens are found, what lies between them is normalized, cut into words and given to
/// the model; the post-processor puts tokens around the ids; the decoder makes text of ids.
class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerDefinition definition);
  PipelineTokenizer(const PipelineTokenizer&) = delete;

  std::size_t vocab_size() const override { return definition_.names.size(); }
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string token_bytes(TokenId id) const override;
  std::string token_bytes_at(TokenId id, bool first) const override;
  bool is_special(TokenId id) const override;
  bool keeps_every_byte() const override;
  std::optional<TokenId> find(std::string_view token) const override;
  std::optional<TokenId> bos() const override { return definition_.special.bos; }
  std::optional<TokenId> eos() const override { return definition_.special.eos; }
  std::optional<TokenId> cls() const override { return definition_.special.cls; }
  std::optional<TokenId> sep() const override { return definition_.special.sep; }
  std::optional<TokenId> mask() const override { return definition_.special.mask; }
  std::optional<TokenId> pad() const override { return definition_.special.pad; }
  std::optional<TokenId> unk() const override { return definition_.special.unk; }
  ChatSettings chat_settings() const override { return isotrope::chat_settings(definition_); }
  void save(const std::filesystem::path& folder) const override;
  std::string fingerprint() const override;
  std::size_t safe_cut(std::string_view text, std::size_t position) const override;
  std::vector<TokenId> encode_parallel(std::string_view text, int threads, const EncodeOptions& options) const override;
  TokenSequence assemble(std::vector<TokenId> first, std::optional<std::vector<TokenId>> second,
                         const EncodeOptions& options) const override;
  std::string decode(std::span<const TokenId> ids, const DecodeOptions& options) const override;
  Encoding encode_full(const TextPair& texts, const EncodingOptions& options) const override;
  std::optional<Truncation> own_truncation() const override;
  std::optional<Padding> own_padding() const override;

  const TokenizerDefinition& definition() const { return definition_; }

 private:
  using Model = std::variant<std::unique_ptr<const BpeModel>, std::unique_ptr<const CharacterBpe>, std::unique_ptr<const WordPiece>,
                             std::unique_ptr<const WordLevel>, std::unique_ptr<const Unigram>>;
  static Model make_model(const TokenizerDefinition& definition);
  std::unique_ptr<const BertEncoder> make_bert_encoder() const;
  void check_id(TokenId id) const;
  bool may_be_cut() const;
  bool has_absent_byte(std::string_view text) const;
  std::size_t part_cut(std::string_view text, std::size_t position) const;
  /// The ids of a part, which is valid UTF-8, without what the post-processor adds.
  template <class AnyModel>
  void encode_text(typename AnyModel::Worker& worker, EncodeParts::Part& part, bool parse_special) const;
  /// Calls use(encode), where encode appends the ids of a part, or stages its words, for one thread.
  void with_worker(bool parse_special, const std::function<void(const EncodeParts::EncodePart&)>& use) const;

  /// A text's tokens with where they come from, without what the post-processor adds (pipeline_encoding.cpp).
  class Aligner;
  template <class Worker>
  void align_as_sentencepiece(Worker& worker, std::string_view text, bool parse_special, Aligner& aligner) const;
  PostProcessor::Part align_text(std::string_view text, bool parse_special) const;
  /// Byte-level: how many bytes each token stands for, by id.
  const std::vector<std::uint32_t>& byte_lengths() const;
  /// The same by cuts of the raw text whose ids are remembered, for models and normalizers that allow it.
  bool is_encoded_by_cuts(std::size_t size) const;
  template <class Worker, class Visit>
  void for_each_cut(Worker& worker, const EncodeParts::Part& part, std::string_view stretch, Visit&& visit) const;
  template <class AnyModel>
  void encode_cuts(typename AnyModel::Worker& worker, EncodeParts::Part& part, bool parse_special) const;
  void encode_as_sentencepiece(CharacterBpe::Worker& worker, EncodeParts::Part& part, bool parse_special) const;
  void encode_as_sentencepiece(Unigram::Worker& worker, EncodeParts::Part& part, bool parse_special) const;
  /// What becomes of raw text of a SentencePiece model; `spelled` is the memory for it.
  std::string_view spell(std::string_view raw, bool begins, bool ends, std::string& spelled) const;
  std::optional<SpaceCuts> find_cuts() const;

  TokenizerDefinition definition_;
  std::optional<SentencePieceNormalizer> sentencepiece_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  AddedTokenMatcher added_;
  Model model_;
  std::unique_ptr<const BertEncoder> bert_;  ///< WordPiece behind BERT's own cleaning and splitting; null: something else
  PostProcessor post_processor_;
  Decoder decoder_;
  std::vector<std::string> decoded_names_;  ///< by id, as the decoder gets them
  std::vector<std::string> bytes_;          ///< by id
  std::vector<bool> special_, present_;     ///< by id; present: there is a token
  std::array<bool, 256> absent_{};          ///< byte-level: bytes of UTF-8 that have no token
  bool any_absent_ = false;
  std::unordered_map<std::string_view, TokenId> ids_;
  bool cuttable_, aligns_ = false;  ///< aligns: the ids need the way of encode_full()
  mutable std::once_flag byte_lengths_once_;
  mutable std::vector<std::uint32_t> byte_lengths_;
  std::optional<SpaceCuts> cuts_;  ///< where raw text falls into parts
};

/// The tokenizer of a definition, after find_usual_special_tokens(). Throws InputError for a component that is broken or not supported.
std::shared_ptr<const Tokenizer> make_tokenizer(TokenizerDefinition definition);

/// What a tokenizer was made of. Throws InputError for one that was not made of a definition.
const TokenizerDefinition& definition_of(const Tokenizer& tokenizer);

/// What the definition of a byte-level BPE says about words: bytes, merges, and the tokens as words.
BpeModel::Parts bpe_parts(const TokenizerDefinition& definition);

}  // namespace isotrope

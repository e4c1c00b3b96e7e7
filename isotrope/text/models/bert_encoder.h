#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "isotrope/text/models/word_cache.h"
#include "isotrope/text/models/word_piece.h"
#include "isotrope/text/steps/bert_characters.h"

namespace isotrope {

/// BertNormalizer, BertPreTokenizer and WordPiece in one pass over the text: words are found in the text as it is, and only those that the
/// cache lacks are cleaned and cut into tokens. The ids are those of the three one after another. Immutable, thread-safe.
class BertEncoder {
 public:
  /// Null where `normalizer` is no BertNormalizer alone. Both must outlive the encoder.
  static std::unique_ptr<const BertEncoder> make(const Normalizer& normalizer, const WordPiece& model);
  ~BertEncoder();

  /// One thread's hold on the encoder: its cache and buffers, taken from the encoder and given back for the next.
  class Worker {
   public:
    explicit Worker(const BertEncoder& encoder);
    ~Worker();
    Worker(const Worker&) = delete;
    /// Appends the ids of a text, valid UTF-8.
    void encode(std::string_view text, std::vector<TokenId>& ids);

   private:
    const BertEncoder& encoder_;
    struct Memory;
    friend class BertEncoder;
    std::unique_ptr<Memory> memory_;
  };

 private:
  BertEncoder(const Normalizer& normalizer, const WordPiece& model);
  void encode_word(std::string_view word, Normalizer::Scratch& scratch, std::vector<TokenId>& ids) const;

  BertCharacters characters_;
  const WordPiece& model_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Worker::Memory>> idle_;
};

}  // namespace isotrope

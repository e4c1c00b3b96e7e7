#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/normalizer.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/text/train/word_counts.h"

namespace isotrope {

class BertCharacters;

struct WordPieceTrainOptions {
  std::size_t vocab_size = 30000;  ///< special tokens, characters and merges together
  std::int64_t min_frequency = 2;  ///< a pair seen less often is not merged
  bool lowercase = true;
  std::optional<bool> strip_accents;                                                         ///< nothing: as `lowercase`
  std::size_t alphabet_limit = 1000;                                                         ///< characters kept, the most frequent; 0: all
  std::vector<std::string> initial_alphabet;                                                 ///< characters kept even if no text has them
  std::vector<std::string> special_tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};  ///< the first ids, in this order
  int threads = 1;
};

/// Trains a WordPiece tokenizer of BERT's kind: as BPE over characters, those that continue a word being spelled with "##", and keeps the
/// vocabulary alone.
///
/// The vocabulary equals that of HF tokenizers' WordPieceTrainer behind BertNormalizer and BertPreTokenizer, up to what is left open there:
/// the ids of "##x" follow HF's hash table, and decide between pairs equally frequent. Here they follow the code points, as those of "x" do;
/// of characters equally frequent, the limit keeps the smaller code points.
class WordPieceTrainer {
 public:
  /// Throws UsageError when a special token is empty or doubled, [UNK] is not among them, or vocab_size has no room for them.
  explicit WordPieceTrainer(WordPieceTrainOptions options);
  ~WordPieceTrainer();
  /// Counts the words of a text, or of a part of one that ends with a line. Bytes that are not UTF-8 become U+FFFD with one warning.
  void add(std::string_view text);
  /// The tokenizer of all text so far. `progress` hears the vocabulary's size as it grows. Throws InputError when there was no text,
  /// UsageError when vocab_size has no room for the characters.
  std::shared_ptr<const Tokenizer> train(const std::function<void(std::size_t)>& progress = {}) const;
  std::size_t distinct_words() const { return counts_.size(); }  ///< before cleaning

 private:
  WordCounts clean_words() const;

  WordPieceTrainOptions options_;
  Normalizer normalizer_;
  std::unique_ptr<const BertCharacters> characters_;
  WordCounts counts_;  ///< as the text has them, but for ASCII capitals
};

/// vocab.txt's text: the names of all tokens by id, a line each. Throws UsageError for a tokenizer that is no WordPiece.
std::string vocabulary_lines(const Tokenizer& tokenizer);

}  // namespace isotrope

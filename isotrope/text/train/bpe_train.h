#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/pattern.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/text/train/word_counts.h"

namespace isotrope {

struct BpeTrainOptions {
  std::size_t vocab_size = 8192;   ///< special tokens, 256 bytes and merges together
  std::int64_t min_frequency = 2;  ///< a pair seen less often is not merged
  std::size_t longest_token = 0;   ///< as HF's max_token_length: tokens longer than two bytes have fewer bytes than this; 0: no limit
  Pattern pattern = Pattern::gpt2;
  std::vector<std::string> special_tokens;  ///< the first ids, in this order
  int threads = 1;
};

/// Trains a byte-level BPE tokenizer (Sennrich et al. 2016): merges the most frequent pair of neighbours until the vocabulary is full.
///
/// The merges equal those of HF tokenizers' BpeTrainer with ByteLevel.alphabet() and the same settings: of pairs equally frequent, the one
/// with the smallest ids. Text is taken line by line, each with its line feed, as HF's train(files) does; no special token is looked for.
/// Memory grows with distinct words, not with the text.
class BpeTrainer {
 public:
  /// Throws UsageError when vocab_size has no room for the special tokens and 256 bytes, or a special token is empty or doubled.
  explicit BpeTrainer(BpeTrainOptions options);
  /// Counts the words of a text, or of a part of one that ends with a line. Bytes that are not UTF-8 become U+FFFD with one warning.
  void add(std::string_view text);
  /// The tokenizer of all text so far. `progress` hears the vocabulary's size as it grows. Throws InputError when there was no text.
  std::shared_ptr<const Tokenizer> train(const std::function<void(std::size_t)>& progress = {}) const;
  std::size_t distinct_words() const { return counts_.size(); }

 private:
  BpeTrainOptions options_;
  WordCounts counts_;
};

}  // namespace isotrope

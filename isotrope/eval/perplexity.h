#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "isotrope/data/token_file.h"
#include "isotrope/models/model.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// How well a model predicts a text.
struct TextScore {
  double nll_sum = 0;       ///< Σ −ln p over predicted tokens
  double correct = 0;       ///< of them, those that the model finds likeliest
  std::int64_t tokens = 0;  ///< predicted tokens
  std::int64_t bytes = 0;   ///< bytes of text that those tokens stand for; special tokens stand for none
  double nll() const { return nll_sum / static_cast<double>(tokens); }
  double accuracy() const { return correct / static_cast<double>(tokens); }
  double perplexity() const;
  double bits_per_byte() const;  ///< nll_sum / (ln 2 · bytes)
};

/// A sequence of tokens that can be read anywhere: copy(begin, count, out).
struct TokenText {
  std::uint64_t size;
  std::function<void(std::uint64_t begin, std::uint64_t count, std::int64_t* out)> copy;
  std::string name;  ///< for messages
  /// The document of each token, counted from the first one's; if set, tokens see their own document alone, and a document's first is not
  /// predicted.
  std::function<std::vector<std::int32_t>(std::uint64_t begin, std::uint64_t count)> documents = {};
};

/// The tokens of a file that outlives the sequence, with its documents kept apart if asked.
TokenText token_text(const TokenFile& file, bool document_mask = false);

/// The window where a model has no limit of positions and none is asked for.
constexpr std::int64_t unlimited_context = 2048;

struct ScoreOptions {
  std::int64_t context = 0;  ///< tokens a window; 0: the model's positions, unlimited_context where it has no limit
  std::int64_t stride = 0;   ///< tokens between the starts of windows; 0: the context
  std::int64_t batch_size = 8;
  std::int64_t max_windows = 0;  ///< evenly spread over the text; 0: all
  std::function<void(std::int64_t done, std::int64_t all)> progress = {};
  std::function<bool()> stop_requested = {};
};

/// Bytes that each id stands for in running text; 0 for special tokens.
std::vector<std::int32_t> token_byte_counts(const Tokenizer& tokenizer);

/// Cuts the sequence into windows of `context` tokens, `stride` apart. A window's first token is context, not predicted; with a stride
/// below the context, neither are tokens that an earlier window has predicted. A text shorter than the context is one window. Sums in
/// double, in the order of the text. `byte_counts` by id. Throws InputError for fewer than two tokens, an id outside the vocabulary, a
/// context past the positions.
TextScore score_text(Model& model, const TokenText& text, const std::vector<std::int32_t>& byte_counts, const ScoreOptions& options = {});

}  // namespace isotrope

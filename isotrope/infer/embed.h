#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "isotrope/models/model.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// What becomes of the tokens of a text: their mean, the first one ([CLS]), the last one (which has seen all, in a decoder), the largest of
/// each channel, or all of them as they are.
enum class Pooling { mean, cls, last, max, none };
Pooling pooling_from_name(const std::string& name);  ///< UsageError names another

struct EmbedOptions {
  /// Hidden states to take: 0 the embedding, n behind block n, −1 behind the last, −2 behind the one before …; empty: the model's final
  /// ones (which in a decoder have passed the last norm).
  std::vector<std::int64_t> layers;
  bool concatenate = false;  ///< several layers one behind the other; false: their sum
  Pooling pooling = Pooling::mean;
  bool normalize = false;            ///< to length 1
  std::int64_t batch_tokens = 4096;  ///< computed together
  std::function<void(std::int64_t texts)> progress = {};
  std::function<bool()> stop_requested = {};
};

/// Features of texts, each a sequence of ids: [texts, d] fp32 in their order, or with Pooling::none [tokens of all texts, d].
/// Texts of all lengths lie in one row, side by side, each seeing itself alone: nothing is computed for padding. A text has the same
/// features whatever stands beside it, to rounding.
/// Throws InputError for an empty text or one longer than the model's positions, UsageError for a layer that is not there, Interrupted.
at::Tensor embed(Model& model, std::span<const TokenSequence> texts, const EmbedOptions& options = {});

/// What a sentence encoder's folder says about itself (sentence-transformers: modules.json, 1_Pooling/config.json,
/// sentence_bert_config.json).
struct SentenceRecipe {
  Pooling pooling = Pooling::mean;
  bool normalize = false;
  std::int64_t max_length = 0;  ///< tokens; 0: unknown
};
/// Nothing where the folder has no modules.json; InputError for modules that are not supported.
std::optional<SentenceRecipe> read_sentence_recipe(const std::filesystem::path& folder);

}  // namespace isotrope

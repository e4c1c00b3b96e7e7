#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

#include "isotrope/data/masking.h"
#include "isotrope/data/sampler.h"

namespace isotrope {

/// What a model is trained to predict.
///   clm      the next token (causal language modelling)
///   mlm      tokens that have been hidden (masked language modelling, Devlin et al. 2019)
///   mlm_nsp  hidden tokens of two segments, and whether the second follows the first in its document (next-sentence prediction)
///   bilm     the next token and the one before, from either side (Peters et al. 2018)
enum class Objective { clm, mlm, mlm_nsp, bilm };
std::string_view objective_name(Objective objective);

/// Sequences for one forward and backward pass.
struct Batch {
  at::Tensor ids;  ///< [B, T] int64
  at::Tensor
      targets;  ///< [B, T] int64, the token after each of `ids`; with `predicted`, [N], the tokens at those places; −100: not counted
  at::Tensor predicted;         ///< [N] int64, places in the flattened ids; undefined: all
  at::Tensor backward_targets;  ///< [B, T] int64, the token before each of `ids`, −100: not counted; undefined: not asked for
  at::Tensor pair_targets;      ///< [B] int64, 0: the second segment follows the first; undefined: not asked for
  at::Tensor documents;         ///< [B, T] int64, or undefined: one document
  at::Tensor token_types;       ///< [B, T] int64, or undefined
  std::int64_t counted = 0;     ///< targets that are not −100
  std::int64_t backward_counted = 0;
  std::int64_t tokens = 0;  ///< that the model learns from: [CLS] and [SEP] count, padding does not
  std::int64_t rows() const { return ids.size(0); }
};

struct CollatorOptions {
  Objective objective = Objective::clm;
  std::int64_t context = 0;  ///< tokens in a row
  /// Number the documents of each row, and do not predict a token from another document than its own. Pairs of segments are rows of their
  /// own.
  bool document_mask = false;
  at::Device device = at::kCPU;
  MaskingOptions masking = {};           ///< mlm, mlm_nsp
  std::optional<TokenId> cls, sep, pad;  ///< around and between segments, where the tokenizer has them; mlm_nsp: all three are there
};

/// Tokens of text in a row: what the sampler's context has to be. The others are [CLS] and [SEP].
std::int64_t text_tokens(const CollatorOptions& options);

/// Rows [position, position + count) as a batch: a function of the sampler's seed and the position alone, masks and pairs included, so that
/// a text that comes again in another epoch is masked anew.
Batch collate(const WindowSampler& sampler, const TokenFile& file, std::uint64_t position, std::int64_t count,
              const CollatorOptions& options);

}  // namespace isotrope

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "isotrope/nn/parameters.h"

namespace isotrope {

/// What a token's text is to a character CNN: its bytes 0 … 255 between a begin and an end, filled up to one length.
constexpr std::int64_t character_count = 259;

/// [V, length] int32: 256, the first length − 2 bytes of each text, 257, then 258s. Texts of which these are the same get the same
/// embedding.
at::Tensor character_table(std::span<const std::string> texts, std::int64_t length);

/// Token embeddings of width p from characters (Kim et al. 2016, arXiv 1508.06615; Peters et al. 2018). With c_1 … c_L a token's
/// characters, each a row of `characters`, every filter of width w gives max over t of relu(Σ_k F_k · c_{t+k} + b); their outputs side by
/// side are x, n wide. Each highway layer makes x ← g x + (1 − g) relu(W x + b) with g = σ(W' x + b') (Srivastava et al. 2015, arXiv
/// 1505.00387); then x ← P x + b.
struct CharacterCnn {
  struct Filter {
    std::int64_t width;
    at::Tensor weight, bias;  ///< [n_w, e·w], [n_w]; F_k is column k of each [e, w]
  };
  struct Highway {
    Linear transform, gate;  ///< W [n, n] and b [n], W' [n, n] and b' [n]
  };
  at::Tensor characters;  ///< [259, e]
  std::vector<Filter> filters;
  std::vector<Highway> highways;
  Linear projection;  ///< [p, n], [p]

  /// table [N, L] int32 → [N, p]. Computed in fp32, rounded to the dtype of the weights.
  at::Tensor operator()(const at::Tensor& table) const;
};

/// Adds `name`.characters, .filters.I.{weight,bias}, .highways.I.{transform,gate}.{weight,bias} and .projection.{weight,bias}. Filters:
/// pairs of width and number; a highway layer begins by carrying most of its input on.
CharacterCnn add_character_cnn(Parameters& parameters, const std::string& name, std::int64_t character_width,
                               std::span<const std::pair<std::int64_t, std::int64_t>> filters, std::int64_t highways, std::int64_t out);

}  // namespace isotrope

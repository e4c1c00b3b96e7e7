#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "isotrope/models/model.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// How likely is this continuation behind this context? The context has one token at least.
struct ScoreRequest {
  std::vector<TokenId> context, continuation;
};

struct ContinuationScore {
  double log_likelihood = 0;             ///< Σ log p(token | all before it), natural log, over the continuation
  bool greedy = true;                    ///< whether each of its tokens is the likeliest one
  std::vector<float> log_probabilities;  ///< of each of its tokens
};

struct ScoringOptions {
  std::int64_t context = 0;          ///< tokens that the model reads at most; 0: scoring_context()
  std::int64_t batch_tokens = 4096;  ///< computed together, shared ones counted once; a request counts as its continuation at least
  std::int64_t batch_size = 0;       ///< requests computed together at most; 0: no limit
  std::function<void(std::size_t request, const ContinuationScore& score)> done = {};  ///< as they are computed, in no given order
  std::function<void()> batch_done = {};
  std::function<bool()> stop_requested = {};
};

/// The model's positions; 2048 where it has no limit, or none that a text was ever written for (2^20 and more, ALiBi).
std::int64_t scoring_context(const Model& model);

/// Scores of all requests, in their order. A request longer than the context loses its beginning. Requests are sorted and laid out as a
/// tree, so that a beginning that several share is computed once, and no padding is (state-space models compute each by itself). Each score
/// has the same bits whatever else is asked, in whatever order, batches and number of threads (kernels/batch_invariant.h), in fp32 and
/// bf16. Throws UsageError for other dtypes and devices than the CPU, InputError for a model that is no decoder or has no head, an empty
/// context or continuation, a continuation longer than the context, an id outside the vocabulary.
std::vector<ContinuationScore> score_continuations(Model& model, std::span<const ScoreRequest> requests,
                                                   const ScoringOptions& options = {});

/// Sequences of tokens as a tree, each with the row in it of every token: what score_continuations() computes together.
struct PackedSequences {
  SequenceTree tree;
  std::vector<TokenId> tokens;                  ///< of the row
  std::vector<std::vector<std::int64_t>> rows;  ///< by sequence
};
/// The sequences, none of them empty, must be in lexicographic order. share = false: each stands by itself.
PackedSequences pack_sequences(std::span<const std::span<const TokenId>> sequences, bool share = true);

}  // namespace isotrope

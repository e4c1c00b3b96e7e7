#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "isotrope/models/model.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// Hidden states of some whole sequences at one point of the forward pass, valid during the call.
struct StateBlock {
  std::string_view point;                  ///< a tap's ("embed", "resid_post" …), or "hidden": what the model returns
  std::int64_t layer;                      ///< −1 where there is none
  at::Tensor states;                       ///< [n, d] of every token in the model's dtype, the sequences' one after the other
  std::span<const std::size_t> sequences;  ///< which they are
  std::span<const std::int64_t> starts;    ///< first token of each in `states`; then n
};

struct StateOptions {
  std::function<bool(std::string_view point, std::int64_t layer)> wanted;  ///< whether a point is consumed
  Tap tap = {};                                                            ///< replaces what it sees before it is consumed (nn/tap.h)
  std::int64_t batch_tokens = 4096;                                        ///< computed together; a longer sequence is computed alone
  std::function<bool()> stop_requested = {};
};

/// Runs every sequence through the model and gives `consume` the states of each point that is wanted, as the pass makes them: of a row of
/// sequences all points, then of the next. Sequences of all lengths lie in one row, side by side, each seeing itself alone: nothing is
/// computed for padding, and a sequence has the same states whatever stands beside it, to rounding.
/// No gradient is recorded where the caller records none. Throws InputError for an empty sequence or one longer than the model's
/// positions, Interrupted.
void collect_states(Model& model, std::span<const TokenSequence> sequences, const StateOptions& options,
                    const std::function<void(const StateBlock&)>& consume);

}  // namespace isotrope

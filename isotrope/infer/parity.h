#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "isotrope/io/activation_dump.h"
#include "isotrope/models/model.h"

namespace isotrope {

/// How far one tap of this model is from another implementation's, over the tokens that count, in float64. NaN where this model's is not a
/// number.
struct TapDifference {
  std::string tap;      ///< "embed", "attn_out.3" (of layer 3), "logits"
  double max_abs = 0;   ///< max |ours − theirs|
  double rms = 0;       ///< sqrt(mean (ours − theirs)²)
  double relative = 0;  ///< max |ours − theirs| / max |theirs|; infinite where only theirs is zero
};

/// Mean −log p of a dump's targets, in nats.
struct LossPair {
  double ours = 0, theirs = 0;
  std::int64_t tokens = 0;  ///< targets
};

struct ParityReport {
  std::vector<TapDifference> taps;  ///< in the order in which this model computes them
  std::int64_t tokens = 0;          ///< that count
  std::optional<LossPair> loss;     ///< where the dump has targets and logits

  /// The first tap whose relative difference exceeds the tolerance or is not a number.
  std::optional<std::size_t> first_departure(double tolerance) const;
};

/// The difference of ours [rows, tokens, d] from theirs of the same shape, at the places `counted` of rows · tokens (int64). A block of
/// places at a time: no whole copy in float64. Throws InputError naming the tap where theirs is not finite or has another shape.
TapDifference tap_difference(const std::string& tap, const at::Tensor& ours, const at::Tensor& theirs, const at::Tensor& counted,
                             const std::string& file = "the dump");

/// Runs the dump's input through the model and compares every tap, and the logits that the dump has. A model's language or pair head that
/// the dump does without (one of the bare architecture) is not compared.
/// Throws InputError, naming the dump: of another model_type, vocabulary, width or number of layers; ids, token types or positions that the
/// model does not have; a tap that only one of the two has.
ParityReport compare_with_dump(Model& model, const ActivationDump& dump);

}  // namespace isotrope

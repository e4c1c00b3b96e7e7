#pragma once

#include <cstdint>
#include <functional>

#include "isotrope/nn/additions_config.h"
#include "isotrope/nn/parameters.h"

namespace isotrope {

/// Learnable multipliers of the matrices that the patterns name (arXiv 2601.04890): parameters of class multiplier that begin at 1,
/// MODULE.row_multiplier [out], MODULE.column_multiplier [in], MODULE.scale_multiplier [] for a weight MODULE.weight.
/// UsageError for a pattern that names no matrix.
void add_multipliers(Parameters& parameters, const MultipliersConfig& config);

/// Low-rank factors of the matrices that the patterns name (Hu et al. 2021, arXiv 2106.09685), called as PEFT calls them:
/// MODULE.lora_A.weight [rank, in], N(0, 1/(3 in)), and MODULE.lora_B.weight [out, rank], 0. Where there are any, no other parameter trains.
/// UsageError for a pattern that names no matrix.
void add_lora(Parameters& parameters, const LoraConfig& config, std::uint64_t seed);

/// The weight that an ordinary model has in place of a matrix with additions, in fp32: W̃ from `value` of W and of them. What has none is
/// its value.
at::Tensor merged_value(const Parameters& parameters, const Parameter& parameter, const std::function<at::Tensor(const Parameter&)>& value);

}  // namespace isotrope

#pragma once

#include <string>
#include <vector>

#include "isotrope/nn/parameters.h"

namespace isotrope {

/// The matrices that a look at singular values takes, by name: those that match one of the shell patterns, embeddings and heads among them; or,
/// without patterns, the matrices of the first, the middle and the last layer. Convolutions are none. Throws UsageError saying `option` for a
/// pattern that no matrix has.
std::vector<const Parameter*> chosen_matrices(const Parameters& parameters, const std::vector<std::string>& patterns,
                                              const std::string& option);

}  // namespace isotrope

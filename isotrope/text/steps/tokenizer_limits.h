#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "isotrope/text/steps/encoding.h"

namespace isotrope {

/// tokenizer.json's `truncation` and `padding`, nothing for null. Throws InputError that names `file` for what is broken or unknown there.
std::optional<Truncation> read_truncation(const nlohmann::json& truncation, std::string_view file);
std::optional<Padding> read_padding(const nlohmann::json& padding, std::string_view file);

}  // namespace isotrope

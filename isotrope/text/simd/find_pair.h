#pragma once

#include <cstddef>
#include <string_view>

namespace isotrope::simd {

/// The first place at or after `position` where `first` and then `second` stand, or text.size().
std::size_t find_pair(std::string_view text, std::size_t position, char first, char second);

}  // namespace isotrope::simd

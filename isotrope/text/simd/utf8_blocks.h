#pragma once

#include <cstddef>
#include <string_view>

namespace isotrope::simd {

/// How many bytes at the start of `text` were found to be whole valid UTF-8 characters, 64 bytes at a time: all but the last ones of a
/// valid text, all before the block with the first error otherwise; 0 where the processor has no such instructions.
using Utf8Function = std::size_t (*)(std::string_view text);
Utf8Function valid_utf8_blocks();

}  // namespace isotrope::simd

#pragma once

#include <cstddef>
#include <cstdint>

/// The generated tables behind unicode.h: sorted runs, each from its first code point to the next run's.
namespace isotrope::unicode_tables {

extern const std::uint32_t category_runs[];  ///< first code point << 5 | Category
extern const std::size_t category_runs_size;
extern const std::uint32_t space_runs[];  ///< first code point << 1 | is White_Space
extern const std::size_t space_runs_size;
extern const std::uint32_t word_runs[];  ///< first code point << 1 | is a word character
extern const std::size_t word_runs_size;

}  // namespace isotrope::unicode_tables

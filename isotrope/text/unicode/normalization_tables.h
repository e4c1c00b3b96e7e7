#pragma once

#include <cstddef>
#include <cstdint>

/// The generated tables behind normalization.h. Runs are sorted, each from its first code point to the next run's.
namespace isotrope::normalization_tables {

extern const std::uint32_t trait_runs[];  ///< first code point << 8 | TextTraits
extern const std::size_t trait_runs_size;
extern const std::uint32_t combining_class_runs[];  ///< first code point << 8 | canonical combining class
extern const std::size_t combining_class_runs_size;
extern const std::uint32_t decomposition_sources[];  ///< code point << 8 | how many code points it becomes, without Hangul syllables
extern const std::size_t decomposition_sources_size;
extern const std::uint32_t decomposition_targets[];  ///< what they become, one after the other
extern const std::size_t decomposition_targets_size;
extern const std::uint32_t compatibility_sources[];  ///< the same for compatibility decomposition, where it is another
extern const std::size_t compatibility_sources_size;
extern const std::uint32_t compatibility_targets[];
extern const std::size_t compatibility_targets_size;
extern const std::uint32_t lowercase_sources[];
extern const std::size_t lowercase_sources_size;
extern const std::uint32_t lowercase_targets[];
extern const std::size_t lowercase_targets_size;
extern const std::uint32_t compositions[];  ///< first, second, both in one; sorted
extern const std::size_t compositions_size;

}  // namespace isotrope::normalization_tables

#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace isotrope {

/// The smallest power of two that cuts `count` values into at most `buckets` buckets; 1 when each may have its own.
std::size_t bucket_size(std::size_t count, std::size_t buckets);

/// Indices of `values` in [begin, end) that keep the picture of the curve: of every bucket the first and the last value, the smallest and
/// the largest finite one, and one that is not finite if there is any (a gap). Ascending, without repetition; all of them when `bucket` ≤
/// 4. Buckets begin at multiples of `bucket` whatever `begin` is, so that a curve that grows, or another part of it, keeps the same points.
std::vector<std::size_t> keep_extremes(std::span<const double> values, std::size_t begin, std::size_t end, std::size_t bucket);

}  // namespace isotrope

#include "isotrope/runlog/downsample.h"

#include <algorithm>
#include <cmath>

namespace isotrope {

std::size_t bucket_size(std::size_t count, std::size_t buckets) {
  std::size_t size = 1;
  while ((count + size - 1) / size > std::max<std::size_t>(buckets, 1)) size *= 2;
  return size;
}

std::vector<std::size_t> keep_extremes(std::span<const double> values, std::size_t begin, std::size_t end, std::size_t bucket) {
  end = std::min(end, values.size());
  bucket = std::max<std::size_t>(bucket, 1);
  std::vector<std::size_t> kept;
  for (std::size_t from = begin; from < end;) {
    const std::size_t to = std::min(end, (from / bucket + 1) * bucket);
    if (to - from <= 4) {
      for (; from < to; ++from) kept.push_back(from);
      continue;
    }
    std::size_t low = to, high = to, gap = to;
    for (std::size_t i = from; i < to; ++i) {
      if (!std::isfinite(values[i])) {
        if (gap == to) gap = i;
        continue;
      }
      if (low == to || values[i] < values[low]) low = i;
      if (high == to || values[i] > values[high]) high = i;
    }
    std::size_t chosen[] = {from, low, high, gap, to - 1};
    std::ranges::sort(chosen);
    for (const auto index : chosen)
      if (index < to && (kept.empty() || index > kept.back())) kept.push_back(index);
    from = to;
  }
  return kept;
}

}  // namespace isotrope

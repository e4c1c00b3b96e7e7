#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

namespace isotrope {

/// Calls work(matrix, first, last) for all rows of several matrices, `rows` of each, in parts of so many rows, on all threads. Threads fetch parts
/// until none is left: one that comes late, or that memory serves worse, holds up nobody.
void for_row_parts(std::span<const std::int64_t> rows, std::int64_t part, const auto& work) {
  std::vector<std::int64_t> begins;  // the first part of each matrix
  std::int64_t parts = 0;
  for (const auto count : rows) {
    begins.push_back(parts);
    parts += (count + part - 1) / part;
  }
  std::atomic<std::int64_t> next{0};
  at::parallel_for(0, std::min<std::int64_t>(parts, at::get_num_threads()), 1, [&](std::int64_t, std::int64_t) {
    for (auto i = next++; i < parts; i = next++) {
      const auto matrix = static_cast<std::size_t>(std::ranges::upper_bound(begins, i) - begins.begin() - 1);
      const auto first = (i - begins[matrix]) * part;
      work(matrix, first, std::min(rows[matrix], first + part));
    }
  });
}

}  // namespace isotrope

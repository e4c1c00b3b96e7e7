#pragma once

#include <cstddef>
#include <vector>

#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

/// Makes room for `wanted` ids in all, or for half as many again as there are where that is more. Where it is much, it is asked for in huge
/// pages: the first touch of pages of 4 kB took an eighth of the time of encoding Wikipedia.
void make_room(std::vector<TokenId>& ids, std::size_t wanted);

/// Makes room for `count` more ids: where memory has to be got, as much as the whole text will need if it is like its first `done` bytes,
/// which gave all ids since `before`, and a tenth more.
inline void reserve_like_before(std::vector<TokenId>& ids, std::size_t before, std::size_t count, std::size_t done, std::size_t size) {
  if (ids.capacity() - ids.size() >= count) return;
  const double a_byte = static_cast<double>(ids.size() - before + count) / static_cast<double>(done);
  make_room(ids, before + static_cast<std::size_t>(a_byte * 1.1 * static_cast<double>(size)) + 4096);
}

}  // namespace isotrope

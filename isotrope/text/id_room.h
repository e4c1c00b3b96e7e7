#pragma once

#include <cstddef>
#include <vector>

#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// Makes room for `wanted` ids in all, and for half as many again as there are: in huge pages where it is much and the system has them, for
/// the first touch of small ones takes a tenth of the time that a text takes.
void make_room(std::vector<TokenId>& ids, std::size_t wanted);

/// Makes room for `count` more ids: where memory has to be got, as much as the whole text will need if it is like its first `done` bytes,
/// which gave all ids since `before`, and a tenth more.
inline void reserve_like_before(std::vector<TokenId>& ids, std::size_t before, std::size_t count, std::size_t done, std::size_t size) {
  if (ids.capacity() - ids.size() >= count) return;
  const double a_byte = static_cast<double>(ids.size() - before + count) / static_cast<double>(done);
  make_room(ids, before + static_cast<std::size_t>(a_byte * 1.1 * static_cast<double>(size)) + 4096);
}

}  // namespace isotrope

#include "isotrope/text/models/id_room.h"

#include <sys/mman.h>

#include <algorithm>
#include <memory>

namespace isotrope {

void make_room(std::vector<TokenId>& ids, std::size_t wanted) {
  ids.reserve(std::max(ids.size() + ids.size() / 2, wanted));
  constexpr std::size_t page = std::size_t{2} << 20;
  void* at = ids.data() + ids.size();
  auto bytes = (ids.capacity() - ids.size()) * sizeof(TokenId);
  if (std::align(page, page, at, bytes)) ::madvise(at, bytes / page * page, MADV_HUGEPAGE);  // a wish; nothing depends on it
}

}  // namespace isotrope

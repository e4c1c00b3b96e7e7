#include "isotrope/data/masking.h"

#include <algorithm>

namespace isotrope {

namespace {

constexpr std::int64_t not_predicted = -100;

/// A token that stands for text; special ones are drawn again.
std::int64_t random_token(const MaskingOptions& options, RandomStream& random) {
  for (;;)
    if (const auto id = random.below(options.special.size()); !options.special[id]) return static_cast<std::int64_t>(id);
}

}  // namespace

void mask_tokens(std::span<std::int64_t> ids, std::span<std::int64_t> targets, const MaskingOptions& options, RandomStream& random) {
  std::ranges::fill(targets, not_predicted);
  const auto special = [&](std::size_t i) { return options.special[static_cast<std::size_t>(ids[i])]; };
  // Words are read before the ids change.
  for (std::size_t begin = 0; begin < ids.size();) {
    auto end = begin + 1;
    if (!options.starts_word.empty() && !special(begin))
      while (end < ids.size() && !special(end) && !options.starts_word[static_cast<std::size_t>(ids[end])]) ++end;
    if (!special(begin) && random.uniform() < options.rate)
      for (auto i = begin; i < end; ++i) {
        targets[i] = ids[i];
        const double draw = random.uniform();
        if (draw < options.mask_share) ids[i] = options.mask;
        else if (draw < options.mask_share + options.random_share) ids[i] = random_token(options, random);
      }
    begin = end;
  }
}

}  // namespace isotrope

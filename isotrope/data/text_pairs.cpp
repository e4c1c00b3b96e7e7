#include "isotrope/data/text_pairs.h"

#include <algorithm>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

/// A document's tokens without its end-of-text token.
TokenRange text_of(const TokenFile& file, std::uint64_t document) {
  auto range = file.document(document);
  std::int64_t last = 0;
  if (range.count > 0 && file.info().eos) {
    file.copy(range.begin + range.count - 1, 1, &last);
    if (last == *file.info().eos) --range.count;
  }
  return range;
}

std::vector<std::int64_t> copy(const TokenFile& file, std::uint64_t begin, std::uint64_t count) {
  std::vector<std::int64_t> ids(count);
  file.copy(begin, count, ids.data());
  return ids;
}

/// The nearest document from `document` on, round about, that can be cut in two, other than `but`.
std::uint64_t usable_document(const TokenFile& file, std::uint64_t document, std::uint64_t but) {
  const auto count = file.info().document_count;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto candidate = (document + i) % count;
    if (candidate != but && text_of(file, candidate).count >= 2) return candidate;
  }
  throw InputError("train", "{}: pairs of texts need two documents of two tokens or more", file.path().string());
}

}  // namespace

void expect_pairs(const TokenFile& file) {
  constexpr auto none = ~std::uint64_t{0};
  usable_document(file, 0, usable_document(file, 0, none));
}

TextPair draw_pair(const TokenFile& file, std::uint64_t begin, std::uint64_t tokens, RandomStream& random) {
  constexpr auto none = ~std::uint64_t{0};
  const auto document = usable_document(file, file.document_at(begin), none);
  const auto text = text_of(file, document);
  const auto whole = std::min(tokens, text.count);
  const auto start = std::clamp(begin, text.begin, text.begin + text.count - whole);
  const auto quarter = whole / 4, cut = std::max<std::uint64_t>(1, quarter + random.below(whole - 2 * quarter));
  TextPair pair;
  pair.random = random.uniform() < 0.5;
  pair.first = copy(file, start, cut);
  if (!pair.random) {
    pair.second = copy(file, start + cut, whole - cut);
    return pair;
  }
  const auto other = text_of(file, usable_document(file, random.below(file.info().document_count), document));
  const auto length = std::min(whole - cut, other.count);  // as a second segment that follows: the length must not tell which it is
  pair.second = copy(file, other.begin + random.below(other.count - length + 1), length);
  return pair;
}

}  // namespace isotrope

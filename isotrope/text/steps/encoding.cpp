#include "isotrope/text/steps/encoding.h"

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/post_processor.h"

namespace isotrope {

namespace {

void add(Encoding& encoding, const Encoding& other) {
  const auto shift = static_cast<std::uint32_t>(encoding.size());
  for (const auto& [sequence, range] : other.sequence_ranges) encoding.sequence_ranges[sequence] = {range.begin + shift, range.end + shift};
  const auto join = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  join(encoding.ids, other.ids), join(encoding.types, other.types), join(encoding.tokens, other.tokens);
  join(encoding.offsets, other.offsets), join(encoding.byte_offsets, other.byte_offsets), join(encoding.words, other.words);
  join(encoding.special, other.special), join(encoding.attention, other.attention);
}

Encoding joined(const Encoding& first, const Encoding& second) {
  auto both = first.slice(0, first.size());
  both.sequence_ranges = first.sequence_ranges;
  add(both, second);
  return both;
}

void pad_one(Encoding& encoding, std::size_t length, const Padding& padding) {
  for (auto& part : encoding.overflowing) pad_one(part, length, padding);
  if (encoding.size() >= length) return;
  const auto count = length - encoding.size();
  const bool left = padding.side == Padding::Side::left;
  const auto put = [&](auto& member, const auto& value) { member.insert(left ? member.begin() : member.end(), count, value); };
  put(encoding.ids, padding.id), put(encoding.types, padding.type), put(encoding.tokens, padding.token);
  put(encoding.offsets, TextRange{}), put(encoding.byte_offsets, TextRange{}), put(encoding.words, -1);
  put(encoding.special, std::uint8_t{1}), put(encoding.attention, std::uint8_t{0});
  if (!left) return;
  const auto shift = static_cast<std::uint32_t>(count);
  for (auto& [sequence, range] : encoding.sequence_ranges) range = {range.begin + shift, range.end + shift};
}

}  // namespace

std::vector<std::int32_t> Encoding::sequences() const {
  std::vector<std::int32_t> numbers(size(), sequence_ranges.empty() ? 0 : -1);
  // HF asks for the texts 0 … n − 1, and takes a text whose place is not known for all there is.
  for (int sequence = 0; sequence < static_cast<int>(sequence_ranges.size()); ++sequence) {
    const auto found = sequence_ranges.find(sequence);
    const auto range = found == sequence_ranges.end() ? TextRange{0, static_cast<std::uint32_t>(size())} : found->second;
    std::fill(numbers.begin() + range.begin, numbers.begin() + range.end, sequence);
  }
  return numbers;
}

Encoding Encoding::slice(std::size_t begin, std::size_t end) const {
  Encoding part;
  const auto take = [&](auto& to, const auto& from) {
    to.assign(from.begin() + static_cast<std::ptrdiff_t>(begin), from.begin() + static_cast<std::ptrdiff_t>(end));
  };
  take(part.ids, ids), take(part.types, types), take(part.tokens, tokens), take(part.offsets, offsets);
  take(part.byte_offsets, byte_offsets), take(part.words, words), take(part.special, special), take(part.attention, attention);
  return part;
}

void Encoding::append(const Encoding& other) {
  constexpr std::size_t most = 1 << 20;
  const auto count = (overflowing.size() + 1) * (other.overflowing.size() + 1) - 1;
  if (count > most)
    throw UsageError("tokenizer", "cutting both texts leaves {} pairs of their parts, more than {}: cut only one of them", count, most);
  std::vector<Encoding> parts;
  parts.reserve(count);
  for (const auto& own : overflowing) {
    parts.push_back(joined(own, other));
    for (const auto& others : other.overflowing) parts.push_back(joined(own, others));
  }
  for (const auto& others : other.overflowing) parts.push_back(joined(*this, others));
  add(*this, other);
  overflowing = std::move(parts);
}

void truncate(Encoding& encoding, std::size_t length, std::size_t stride, Truncation::Side side) {
  const auto size = encoding.size();
  if (length >= size) return;
  if (length > 0 && stride >= length)
    throw UsageError("tokenizer", "a stride of {} tokens is not less than the {} that are left of a text", stride, length);
  std::vector<Encoding> parts;
  if (length == 0) {
    parts.push_back(Encoding());
    parts.push_back(std::move(encoding));
  } else if (side == Truncation::Side::right) {
    for (std::size_t start = 0, stop = 0; stop < size; start += length - stride) {
      stop = std::min(start + length, size);
      parts.push_back(encoding.slice(start, stop));
    }
  } else {
    for (std::size_t start = size, stop = size; start > 0; stop -= length - stride) {
      start = stop - std::min(stop, length);
      parts.push_back(encoding.slice(start, stop));
    }
  }
  encoding = std::move(parts.front());
  parts.erase(parts.begin());
  encoding.overflowing = std::move(parts);
}

void truncate(Encoding& first, Encoding* second, const Truncation& truncation, std::size_t added) {
  if (added > truncation.max_length)
    throw UsageError("tokenizer", "a length of {} has no room for the {} special tokens around a text", truncation.max_length, added);
  const auto most = truncation.max_length - added, stride = truncation.stride;
  auto first_size = first.size(), second_size = second ? second->size() : 0;
  const auto total = first_size + second_size;
  if (most > 0 && total <= most) return;
  if (most == 0) {
    first_size = second_size = 0;
  } else if (truncation.strategy == Truncation::Strategy::longest_first) {
    if (second) cut_longest_first(most, first_size, second_size);
    else first_size = most;
  } else {
    const bool cuts_first = truncation.strategy == Truncation::Strategy::only_first;
    if (!cuts_first && !second) throw UsageError("tokenizer", "truncation only_second: there is no second text");
    auto& cut = cuts_first ? first_size : second_size;
    if (cut <= total - most)
      throw UsageError("tokenizer", "truncation {}: the {} tokens of that text are fewer than the {} to take away",
                       cuts_first ? "only_first" : "only_second", cut, total - most + 1);
    cut -= total - most;
  }
  truncate(first, first_size, stride, truncation.side);
  if (second) truncate(*second, second_size, stride, truncation.side);
}

void pad(std::span<Encoding> encodings, const Padding& padding) {
  std::size_t length = 0;
  for (const auto& encoding : encodings) length = std::max(length, encoding.size());
  length = padding.length.value_or(length);
  if (padding.multiple_of > 0) length = (length + padding.multiple_of - 1) / padding.multiple_of * padding.multiple_of;
  for (auto& encoding : encodings) pad_one(encoding, length, padding);
}

}  // namespace isotrope

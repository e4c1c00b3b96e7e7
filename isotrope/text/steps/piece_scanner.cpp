#include "isotrope/text/steps/piece_scanner.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "isotrope/text/simd/bit_places.h"
#include "isotrope/text/unicode/unicode.h"

namespace isotrope {

using simd::ByteMasks;

namespace {

constexpr std::uint64_t all_ones = ~std::uint64_t{0};

/// The code point at `at`, whose first byte is beyond ASCII.
char32_t decode(const char* at) {
  const auto byte = [&](int i) { return static_cast<char32_t>(static_cast<unsigned char>(at[i])); };
  if (byte(0) < 0xE0) return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
  if (byte(0) < 0xF0) return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
}

/// A mask moved one byte up, with the last bit of the block before.
struct Shift {
  std::uint64_t carry = 0;
  std::uint64_t operator()(std::uint64_t mask) {
    const auto moved = mask << 1 | carry;
    carry = mask >> 63;
    return moved;
  }
};

}  // namespace

void PieceScanner::start(Pattern pattern, std::string_view text) {
  pattern_ = pattern;
  text_ = text;
  position_ = 0;
}

bool PieceScanner::next(WordBatch& batch) {
  const std::size_t rest = text_.size() - position_;
  if (rest == 0) return false;
  const bool is_last = rest <= chunk + padding;
  base_ = text_.data() + position_;
  blocks_ = chunk / 64;
  if (is_last) {
    // White space behind the text gives the rules of its end: a run of it is not parted before its last character.
    std::memcpy(tail_, base_, rest);
    std::memset(tail_ + rest, ' ', 2 * padding);
    base_ = tail_;
    blocks_ = rest / 64 + 1;
  }
  simd::byte_masks().fastest()(base_, blocks_, masks_);
  masks_[blocks_] = ByteMasks{.space = all_ones};
  classify_beyond_ascii();
  switch (pattern_) {
    case Pattern::gpt2: start_gpt2(); break;
    case Pattern::o200k: start_by_pieces(is_last ? rest : chunk); break;
    default: start_llama3(pattern_ == Pattern::qwen2 ? 1 : 3);
  }
  if (is_last && pattern_ == Pattern::cl100k) join_last_spaces(rest);

  // What follows a chunk decides about its last bytes: contractions look 3 bytes ahead, white space as far as it goes.
  const auto limit = is_last ? rest : std::min(chunk - 8, spaces_before(chunk)) + 1;
  auto count = collect_ends(limit);
  auto* const ends = bounds_ + 1;
  if (is_last) ends[count++] = static_cast<std::uint32_t>(rest);
  batch = {base_, bounds_, ends, count};
  if (count == 0) {  // a piece longer than the chunk
    const auto length = next_piece(pattern_, UnicodeTable::instance(), text_, position_);
    ends[0] = static_cast<std::uint32_t>(length);
    batch.count = 1;
    position_ += length;
    return true;
  }
  position_ += ends[count - 1];
  return true;
}

void PieceScanner::classify_beyond_ascii() {
  const auto& table = UnicodeTable::instance();
  std::uint64_t carry_low = 0, carry_high = 0;
  for (std::size_t block = 0; block < blocks_; ++block) {
    auto& masks = masks_[block];
    if ((masks.lead | masks.tail) == 0) continue;
    std::uint64_t low = 0, high = 0;  // the two bits of CharKind
    const char* text = base_ + block * 64;
    for (auto leads = masks.lead; leads != 0; leads &= leads - 1) {
      const int place = std::countr_zero(leads);
      const auto kind = static_cast<std::uint64_t>(table.kind(decode(text + place)));
      low |= (kind & 1) << place;
      high |= (kind >> 1) << place;
    }
    low = simd::spread_over_tails(low, masks.tail, carry_low);
    high = simd::spread_over_tails(high, masks.tail, carry_high);
    carry_low = low >> 63;
    carry_high = high >> 63;
    static_assert(static_cast<int>(CharKind::letter) == 1 && static_cast<int>(CharKind::number) == 2 &&
                  static_cast<int>(CharKind::space) == 3);
    masks.letter |= low & ~high;
    masks.number |= high & ~low;
    masks.space |= low & high;
  }
}

/// A piece starts where a run of letters, numbers or others begins, one byte earlier if a blank stands there; where a run of white space
/// begins; and at the last character of such a run when something follows.
void PieceScanner::start_gpt2() {
  Shift letter, number, other, space, blank;
  for (std::size_t block = 0; block < blocks_; ++block) {
    const auto& masks = masks_[block];
    const auto others = ~(masks.letter | masks.number | masks.space);
    const auto begins = (masks.letter & ~letter(masks.letter)) | (masks.number & ~number(masks.number)) | (others & ~other(others));
    const auto next_space = masks.space >> 1 | masks_[block + 1].space << 63;
    starts_[block] = (begins & ~blank(masks.blank)) | (masks.space & ~space(masks.space));
    start_at_last_spaces(block, masks.space & ~next_space);
  }
  part_contractions(false);
}

/// No masks for these: one piece after the other, up to `size`.
void PieceScanner::start_by_pieces(std::size_t size) {
  std::fill_n(starts_, blocks_ + 1, 0);
  const auto text = text_.substr(position_);
  for (std::size_t at = 0; at < size; at += next_piece(pattern_, UnicodeTable::instance(), text, at)) set_start(at);
}

/// White space that ends the text is one piece.
void PieceScanner::join_last_spaces(std::size_t size) {
  auto first = spaces_before(size);
  while (first < size && first > 0 && !starts(first)) ++first;  // line ends that belong to punctuation
  for (auto i = first + 1; i < size; ++i) clear_start(i);
}

/// Sets a start at each character whose last byte is given.
void PieceScanner::start_at_last_spaces(std::size_t block, std::uint64_t last_bytes) {
  const auto tail = masks_[block].tail;
  starts_[block] |= last_bytes & ~tail;
  for (auto bits = last_bytes & tail; bits != 0; bits &= bits - 1) {
    auto i = block * 64 + static_cast<std::size_t>(std::countr_zero(bits));
    while (i > 0 && bit(&ByteMasks::tail, i)) --i;
    set_start(i);
  }
}

/// After an apostrophe that begins a piece: s, t, m, d, re, ve, ll end it.
void PieceScanner::part_contractions(bool any_case) {
  for (std::size_t block = 0; block < blocks_; ++block) {
    for (auto quotes = masks_[block].quote & starts_[block]; quotes != 0; quotes &= quotes - 1) {
      const auto i = block * 64 + static_cast<std::size_t>(std::countr_zero(quotes));
      const std::size_t length = contraction_length(base_ + i, any_case);
      if (length == 0) continue;
      clear_start(i + 1);
      set_start(i + length);
    }
  }
}

/// As for GPT-2, but: a letter run takes any one character before it that is neither a number nor a new line; numbers come in groups;
/// new lines go with the punctuation before them, or end the piece that their white space began.
void PieceScanner::start_llama3(unsigned digits) {
  Shift letter, number, other, space, before_letter, blank;
  std::uint64_t carry_single = 0;
  bool any_newline = false, any_number = false;
  for (std::size_t block = 0; block < blocks_; ++block) {
    const auto& masks = masks_[block];
    const auto others = ~(masks.letter | masks.number | masks.space), spaces = masks.space & ~masks.newline;
    const auto free_others = others & ~other(others) & ~blank(masks.blank);  // begin a run and have no blank before them
    const auto single = simd::spread_over_tails(free_others, masks.tail, carry_single);
    carry_single = single >> 63;
    const auto next_space = masks.space >> 1 | masks_[block + 1].space << 63;
    starts_[block] = (masks.letter & ~letter(masks.letter) & ~before_letter(spaces | single)) | (masks.number & ~number(masks.number)) |
                     free_others | (masks.space & ~space(masks.space));
    start_at_last_spaces(block, spaces & ~next_space);
    any_newline |= masks.newline != 0;
    any_number |= masks.number != 0;
  }
  if (any_number) start_in_numbers(digits);
  if (any_newline) start_around_newlines();
  part_contractions(true);
}

void PieceScanner::start_in_numbers(unsigned digits) {
  unsigned count = 0;
  for (std::size_t block = 0; block < blocks_; ++block) {
    const auto& masks = masks_[block];
    for (auto numbers = masks.number & ~masks.tail; numbers != 0; numbers &= numbers - 1) {
      const auto place = std::countr_zero(numbers);
      count = starts_[block] >> place & 1 ? 0 : count + 1;
      if (count % digits == 0) starts_[block] |= std::uint64_t{1} << place;
    }
  }
}

void PieceScanner::start_around_newlines() {
  const auto size = blocks_ * 64;
  const auto is_newline = [&](std::size_t i) { return i < size && bit(&ByteMasks::newline, i); };
  for (std::size_t block = 0, done = 0; block < blocks_; ++block) {
    for (auto newlines = masks_[block].newline; newlines != 0; newlines &= newlines - 1) {
      const auto found = block * 64 + static_cast<std::size_t>(std::countr_zero(newlines));
      if (found < done) continue;
      auto begin = spaces_before(found);
      const auto end = spaces_after(found);
      done = end;
      if (begin == found && begin > 0 && !bit(&ByteMasks::letter, begin - 1) && !bit(&ByteMasks::number, begin - 1)) {
        clear_start(begin);  // the new lines belong to the punctuation
        while (begin < end && is_newline(begin)) ++begin;
        if (begin == end) continue;
        set_start(begin);
      }
      auto after = end;  // behind the last new line
      while (after > begin && !is_newline(after - 1)) --after;
      if (after > begin && after < end) set_start(after);
    }
  }
}

std::size_t PieceScanner::spaces_before(std::size_t i) const {
  while (i > 0) {
    const auto block = (i - 1) / 64, place = (i - 1) % 64;
    const auto others = ~masks_[block].space << (63 - place);
    if (others != 0) return i - static_cast<std::size_t>(std::countl_zero(others));
    i = block * 64;
  }
  return 0;
}

std::size_t PieceScanner::spaces_after(std::size_t i) const {
  for (const auto size = blocks_ * 64; i < size;) {
    const auto others = ~masks_[i / 64].space >> (i % 64);
    if (others != 0) return i + static_cast<std::size_t>(std::countr_zero(others));
    i = (i / 64 + 1) * 64;
  }
  return i;
}

/// Lists the starts in [1, limit).
std::size_t PieceScanner::collect_ends(std::size_t limit) {
  starts_[0] &= ~std::uint64_t{1};
  const auto last = limit / 64;
  starts_[last] &= (std::uint64_t{1} << (limit % 64)) - 1;
  auto* out = bounds_ + 1;
  for (std::size_t block = 0; block <= last; ++block)
    out = simd::put_bit_places(starts_[block], static_cast<std::uint32_t>(block * 64), out);
  return static_cast<std::size_t>(out - (bounds_ + 1));
}

}  // namespace isotrope

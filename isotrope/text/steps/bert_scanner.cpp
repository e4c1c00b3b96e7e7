#include "isotrope/text/steps/bert_scanner.h"

#include <bit>
#include <cstring>

#include "isotrope/base/error.h"
#include "isotrope/text/simd/bit_places.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

void BertScanner::start(const BertCharacters& characters, std::string_view text) {
  characters_ = &characters;
  text_ = text;
  position_ = 0;
}

bool BertScanner::next(WordBatch& batch) {
  const std::size_t rest = text_.size() - position_;
  if (rest == 0) return false;
  const char* base = text_.data() + position_;
  const bool is_last = rest <= chunk;
  auto blocks = chunk / 64;
  if (rest <= chunk + padding) {  // the last character of a chunk may be read beyond it
    std::memcpy(tail_, base, rest);
    std::memset(tail_ + rest, ' ', padding);
    base = tail_;
    if (is_last) blocks = rest / 64 + 1;
  }
  masks_of_(base, blocks, characters_->lowercases(), copied_, masks_);
  std::size_t begun = 0;
  const auto count = collect(base, blocks, begun);
  batch = {copied_, begins_, ends_, count};
  if (is_last) position_ += rest;
  else if (begun == count) position_ += chunk;
  else if (count == 0 && begins_[0] == 0) next_long_word(batch);
  else position_ += begins_[count];
  return true;
}

/// Goes on character by character: the word that begins here is longer than a chunk.
void BertScanner::next_long_word(WordBatch& batch) {
  auto end = position_;
  for (auto next = end; next < text_.size(); end = next)
    if (characters_->kind(next_code_point(text_, next)) != BertCharacters::Kind::word) break;
  const auto size = end - position_;
  if (size > INT32_MAX) throw InputError("tokenizer", "a word of {} bytes is longer than the limit of {}", size, INT32_MAX);
  begins_[0] = 0;
  ends_[0] = static_cast<std::uint32_t>(size);
  batch = {text_.data() + position_, begins_, ends_, 1};
  position_ = end;
}

std::size_t BertScanner::collect(const char* text, std::size_t blocks, std::size_t& begun) {
  std::uint64_t word_carry = 0, alone_carry = 0;
  auto *begins = begins_, *ends = ends_;
  for (std::size_t block = 0; block < blocks; ++block, text += 64) {
    const auto& masks = masks_[block];
    auto alone = masks.alone, word = ~(masks.separator | masks.alone | masks.odd | masks.tail), all_alone = alone;
    if ((masks.odd | masks.tail) != 0) {
      std::uint64_t words = 0;
      for (auto odd = masks.odd; odd != 0; odd &= odd - 1) {
        const int place = std::countr_zero(odd);
        std::size_t position = 0;
        const auto kind = characters_->kind(next_code_point({text + place, 4}, position));
        words |= static_cast<std::uint64_t>(kind == BertCharacters::Kind::word) << place;
        alone |= static_cast<std::uint64_t>(kind == BertCharacters::Kind::alone) << place;
      }
      word |= simd::spread_over_tails(words, masks.tail, word_carry);
      all_alone = simd::spread_over_tails(alone, masks.tail, alone_carry);
    }
    const auto before = word << 1 | word_carry;
    begins = simd::put_bit_places((word & ~before) | alone, static_cast<std::uint32_t>(block * 64), begins);
    ends = simd::put_bit_places((before & ~word) | ((all_alone << 1 | alone_carry) & ~masks.tail), static_cast<std::uint32_t>(block * 64),
                                ends);
    word_carry = word >> 63;
    alone_carry = all_alone >> 63;
  }
  begun = static_cast<std::size_t>(begins - begins_);
  return static_cast<std::size_t>(ends - ends_);
}

}  // namespace isotrope

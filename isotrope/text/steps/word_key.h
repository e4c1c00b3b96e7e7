#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "isotrope/text/steps/hash.h"
#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

/// A word as tables compare it. Up to 15 bytes: the bytes themselves with zeros behind them, and the length in bits 56 to 59 of
/// `high`. Longer: a hash, and the length in the low bits.
struct WordKey {
  static constexpr std::size_t longest_inline = 15, longest = 255;
  std::uint64_t low, high;

  /// size 1 … 15; sixteen bytes at `word` can be read.
  static WordKey of_short(const char* word, std::size_t size) {
    alignas(16) static constexpr auto masks = [] {
      std::array<std::array<std::uint64_t, 2>, 16> table{};
      for (unsigned length = 0; length < 16; ++length)
        for (unsigned byte = 0; byte < length; ++byte) table[length][byte / 8] |= std::uint64_t{0xFF} << byte % 8 * 8;
      return table;
    }();
    std::uint64_t low, high;
    std::memcpy(&low, word, 8);
    std::memcpy(&high, word + 8, 8);
    return {low & masks[size][0], (high & masks[size][1]) | static_cast<std::uint64_t>(size) << 56};
  }
  static WordKey of_long(std::string_view word) { return {hash_bytes(word), word.size()}; }
  /// Of any word of 1 … 255 bytes, wherever it lies.
  static WordKey of(std::string_view word) {
    if (word.size() > longest_inline) return of_long(word);
    char padded[16] = {};
    std::memcpy(padded, word.data(), word.size());
    return of_short(padded, word.size());
  }

  /// All 64 bits are good ones.
  std::uint64_t hash() const {
    const auto mixed = (low + high * 0xD6E8FEB86659FD93u) * 0x9E3779B97F4A7C15u;
    return mixed ^ mixed >> 32;
  }
};

}  // namespace isotrope

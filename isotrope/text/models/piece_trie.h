#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "isotrope/text/steps/double_array.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

/// Pieces of text in a trie that is walked by characters: each character has a code of one to three bytes, a single one where many pieces
/// have it, and the trie is one over the bytes of codes. No code begins with another, so that pieces end only between characters. Of a
/// character that no piece has the code is 0, which no edge of the trie bears. Immutable.
class PieceTrie {
 public:
  /// Pieces, which are UTF-8, with their values ≥ 0; of equal pieces the last counts. Throws as DoubleArray.
  PieceTrie(std::vector<std::pair<std::string_view, std::int32_t>> pieces, std::string_view file);

  static constexpr std::size_t most_code = 3;  ///< bytes of a code
  /// How many bytes the code has that begins with `first`.
  static std::size_t code_size(unsigned char first) { return 1u + (first >= first_of_two) + (first >= first_of_three); }
  /// Writes the codes of valid UTF-8 of less than 2²⁹ bytes, and a 0 behind them; the memory of `codes` is kept for the next text. Returns how many bytes they are.
  std::size_t read(std::string_view text, std::vector<unsigned char>& codes) const {
    const auto room = most_code * text.size() + sizeof(std::uint32_t);
    if (codes.size() < room) codes.resize(room);
    auto* out = codes.data();
    for (std::size_t position = 0; position < text.size();) {
      const auto code = code_of(next_code_point(text, position));
      std::memcpy(out, &code, sizeof code);
      out += code >> 24;
    }
    *out = 0;
    return static_cast<std::size_t>(out - codes.data());
  }

  using State = DoubleArray::State;
  State root() const { return trie_.root(); }
  /// Goes on by one byte of codes; false: no piece does. The value is −1 where none ends.
  bool step(State& state, unsigned char code, std::int32_t& value) const { return trie_.step(state, code, value); }
  /// The value of a piece, or −1.
  std::int32_t find(std::string_view piece) const;

 private:
  using Pieces = std::vector<std::pair<std::string_view, std::int32_t>>;
  // First bytes of codes: 1 … 191 are codes; 192 … 238 have another byte behind them and 239 … 255 two, enough for every code point.
  static constexpr unsigned char first_of_two = 192, first_of_three = 239;
  static std::uint32_t code_of_rank(std::uint32_t rank);

  /// The bytes of a character's code, the first one lowest, and their number in the top byte.
  std::uint32_t code_of(char32_t character) const { return codes_[std::size_t{pages_[character >> 8]} << 8 | (character & 0xFF)]; }
  void give_codes(const Pieces& pieces);
  DoubleArray trie_of(const Pieces& pieces, std::string_view file) const;

  static constexpr std::uint32_t no_code = 1u << 24;
  std::vector<std::uint16_t> pages_ = std::vector<std::uint16_t>(0x1100);  ///< by the upper bits of a code point; 0: none has a code
  std::vector<std::uint32_t> codes_ = std::vector<std::uint32_t>(256, no_code);
  DoubleArray trie_;
};

}  // namespace isotrope

#include "isotrope/text/steps/byte_alphabet.h"

#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

constexpr bool stands_for_itself(unsigned byte) { return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE; }

constexpr auto make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) alphabet[byte] = stands_for_itself(byte) ? byte : next++;
  return alphabet;
}

constexpr auto alphabet = make_alphabet();
constexpr char32_t alphabet_end = 0x144;

/// Code point to byte, −1 for one outside the alphabet.
constexpr auto make_inverse() {
  std::array<std::int16_t, alphabet_end> inverse{};
  for (auto& byte : inverse) byte = -1;
  for (unsigned byte = 0; byte < 256; ++byte) inverse[alphabet[byte]] = static_cast<std::int16_t>(byte);
  return inverse;
}

constexpr auto inverse = make_inverse();

}  // namespace

const std::array<char32_t, 256>& byte_alphabet() { return alphabet; }

std::string spell_bytes(std::string_view bytes) {
  std::string spelling;
  for (const char byte : bytes) append_utf8(spelling, alphabet[static_cast<unsigned char>(byte)]);
  return spelling;
}

std::optional<std::string> unspell_bytes(std::string_view spelling) {
  std::string bytes;
  for (std::size_t i = 0; i < spelling.size();) {
    const char32_t code_point = next_code_point(spelling, i);
    if (code_point >= alphabet_end || inverse[code_point] < 0) return std::nullopt;
    bytes += static_cast<char>(inverse[code_point]);
  }
  return bytes;
}

}  // namespace isotrope

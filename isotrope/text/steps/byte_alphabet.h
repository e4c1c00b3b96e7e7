#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace isotrope {

/// GPT-2's alphabet: a visible character for each of the 256 bytes (Radford et al. 2019, encoder.py). '!'…'~', '¡'…'¬' and '®'…'ÿ' stand
/// for themselves, the 68 others for U+0100 onwards in order, so a space is 'Ġ'. Vocabulary files spell byte-level tokens with it.
const std::array<char32_t, 256>& byte_alphabet();

/// The bytes as vocabulary files write them.
std::string spell_bytes(std::string_view bytes);

/// The bytes that a vocabulary file's token stands for; nothing when a character is not of the alphabet. `spelling` is valid UTF-8.
std::optional<std::string> unspell_bytes(std::string_view spelling);

}  // namespace isotrope

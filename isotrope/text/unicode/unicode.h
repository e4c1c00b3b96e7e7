#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace isotrope {

/// General categories of Unicode 16.0 (Lu … Cn), in an order that keeps letters, marks and numbers together.
enum class Category : std::uint8_t {
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Co,
  Cn
};

/// What pre-tokenizer patterns tell apart: \p{L}, \p{N}, \s (White_Space) and the rest.
enum class CharKind : std::uint8_t { other, letter, number, space };

/// Properties of every code point below 0x110000, one byte each, built from the generated runs at first use (about 0.1 ms, 1.1 MB).
class UnicodeTable {
 public:
  static const UnicodeTable& instance();
  CharKind kind(char32_t code_point) const { return static_cast<CharKind>(bytes_[code_point] & 3); }
  Category category(char32_t code_point) const { return static_cast<Category>(bytes_[code_point] >> 3); }
  /// A word character, as the regex class \w of `single_word` added tokens: letters, marks, digits, connectors and joiners.
  bool is_word(char32_t code_point) const { return bytes_[code_point] >> 2 & 1; }
  bool is_space(char32_t code_point) const { return kind(code_point) == CharKind::space; }

 private:
  UnicodeTable();
  std::string bytes_store_;
  const std::uint8_t* bytes_;
};

/// The general category of that name ("Lu"); nothing for a name that is none.
std::optional<Category> find_category(std::string_view name);

}  // namespace isotrope

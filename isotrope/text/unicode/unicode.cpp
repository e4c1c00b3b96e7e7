#include "isotrope/text/unicode/unicode.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "isotrope/text/unicode/unicode_tables.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

constexpr std::array<std::string_view, 29> category_names{"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                                          "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                                          "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"};

/// Calls apply(first, last, value) for each run; `bits` is the width of the value below the code point.
template <class Apply>
void for_each_run(const std::uint32_t* runs, std::size_t size, int bits, Apply apply) {
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t last = i + 1 < size ? runs[i + 1] >> bits : code_point_count;
    apply(std::size_t{runs[i] >> bits}, last, runs[i] & ((1u << bits) - 1));
  }
}

CharKind kind_of(std::uint32_t category) {
  if (category <= static_cast<std::uint32_t>(Category::Lo)) return CharKind::letter;
  if (category >= static_cast<std::uint32_t>(Category::Nd) && category <= static_cast<std::uint32_t>(Category::No)) return CharKind::number;
  return CharKind::other;
}

}  // namespace

UnicodeTable::UnicodeTable() : bytes_store_(code_point_count, '\0') {
  namespace tables = unicode_tables;
  auto* bytes = reinterpret_cast<std::uint8_t*>(bytes_store_.data());
  for_each_run(tables::category_runs, tables::category_runs_size, 5, [&](std::size_t first, std::size_t last, std::uint32_t category) {
    const auto byte = static_cast<std::uint8_t>(category << 3 | static_cast<std::uint32_t>(kind_of(category)));
    for (std::size_t i = first; i < last; ++i) bytes[i] = byte;
  });
  for_each_run(tables::space_runs, tables::space_runs_size, 1, [&](std::size_t first, std::size_t last, std::uint32_t space) {
    for (std::size_t i = first; space && i < last; ++i) bytes[i] |= static_cast<std::uint8_t>(CharKind::space);
  });
  for_each_run(tables::word_runs, tables::word_runs_size, 1, [&](std::size_t first, std::size_t last, std::uint32_t word) {
    for (std::size_t i = first; word && i < last; ++i) bytes[i] |= 4;
  });
  bytes_ = bytes;
}

const UnicodeTable& UnicodeTable::instance() {
  static const UnicodeTable table;
  return table;
}

std::optional<Category> find_category(std::string_view name) {
  const auto found = std::ranges::find(category_names, name);
  if (found == category_names.end()) return std::nullopt;
  return static_cast<Category>(found - category_names.begin());
}

}  // namespace isotrope

#pragma once

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/aligned_text.h"
#include "isotrope/text/unicode/normalization.h"

namespace isotrope {

/// The decomposition of valid UTF-8, its marks in canonical order, as changes of it: of what a character becomes the first part replaces it, the
/// others are inserted. decompose(code point, visit) visits the parts of one (NormalizationTable::decompose for NFD).
template <class Decompose>
std::vector<CharacterChange> decomposition_changes(std::string_view text, Decompose&& decompose) {
  const auto& table = NormalizationTable::instance();
  std::vector<CharacterChange> changes;
  changes.reserve(text.size());
  std::size_t sorted = 0;  // what comes from here on are marks that wait for their order
  const auto class_of = [&](const CharacterChange& change) { return table.combining_class(change.character); };
  const auto sort = [&] {
    if (changes.size() - sorted > 1) std::ranges::stable_sort(std::span(changes).subspan(sorted), {}, class_of);
    sorted = changes.size();
  };
  for (std::size_t position = 0; position < text.size();) {
    int change = 0;
    decompose(next_code_point(text, position), [&](char32_t part) {
      const bool starter = table.combining_class(part) == 0;
      if (starter) sort();
      changes.push_back({part, change});
      if (starter) sorted = changes.size();
      change = 1;
    });
  }
  sort();
  return changes;
}

/// The bytes of valid UTF-8 in the byte alphabet: of a character the first letter replaces it, the others are inserted.
std::vector<CharacterChange> byte_spelling_changes(std::string_view text);

/// The canonical composition of a decomposition: what characters are joined to another adds up to how many of them it replaces.
std::vector<CharacterChange> composition_changes(std::span<const CharacterChange> decomposed);

}  // namespace isotrope

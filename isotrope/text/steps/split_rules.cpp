#include "isotrope/text/steps/split_rules.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "isotrope/text/unicode/script_tables.h"

namespace isotrope {

namespace {

constexpr std::pair<std::string_view, SplitBehavior> behavior_names[] = {{"Removed", SplitBehavior::removed},
                                                                         {"Isolated", SplitBehavior::isolated},
                                                                         {"MergedWithPrevious", SplitBehavior::merged_with_previous},
                                                                         {"MergedWithNext", SplitBehavior::merged_with_next},
                                                                         {"Contiguous", SplitBehavior::contiguous}};

constexpr std::uint32_t no_script = 0;

/// The number of the script that a code point belongs to for UnicodeScripts.
std::uint32_t script_of(char32_t code_point) {
  const auto* const end = script_tables::script_runs + script_tables::script_runs_size;
  const auto* const next = std::upper_bound(script_tables::script_runs, end, std::uint32_t{code_point} << 8 | 0xFF);
  return *std::prev(next) & 0xFF;
}

}  // namespace

std::optional<SplitBehavior> find_split_behavior(std::string_view name) {
  for (const auto& [known, behavior] : behavior_names)
    if (known == name) return behavior;
  return std::nullopt;
}

void split_words(std::string_view text, const WordVisit& visit) {
  const auto& table = UnicodeTable::instance();
  enum class Kind { space, word, other };
  auto last = Kind::space;
  std::size_t start = 0;
  for (std::size_t position = 0; position < text.size();) {
    const auto here = position;
    const auto c = next_code_point(text, position);
    const auto kind = table.is_word(c) ? Kind::word : table.is_space(c) ? Kind::space : Kind::other;
    if (kind == last) continue;
    if (last != Kind::space) visit(text.substr(start, here - start));
    start = here;
    last = kind;
  }
  if (last != Kind::space) visit(text.substr(start));
}

void split_scripts(std::string_view text, const WordVisit& visit) {
  auto last = no_script;
  std::size_t start = 0;
  for (std::size_t position = 0; position < text.size();) {
    const auto here = position;
    const auto script = script_of(next_code_point(text, position));
    if (script == no_script || script == last) continue;
    if (last != no_script) visit(text.substr(start, here - start));
    start = here;
    last = script;
  }
  if (last != no_script) visit(text.substr(start));
}

void split_by_length(std::string_view text, std::size_t length, const WordVisit& visit) {
  std::size_t start = 0, count = 0;
  for (std::size_t position = 0; position < text.size();) {
    next_code_point(text, position);
    if (++count < length) continue;
    visit(text.substr(start, position - start));
    start = position;
    count = 0;
  }
  if (start < text.size()) visit(text.substr(start));
}

}  // namespace isotrope

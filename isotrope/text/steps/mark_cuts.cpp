#include "isotrope/text/steps/mark_cuts.h"

#include <algorithm>

#include "isotrope/text/steps/space_cuts.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

/// The character that ends `text`, which is not empty.
char32_t last_character(std::string_view text) {
  auto position = text.size() - 1;
  while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80) --position;
  return next_code_point(text, position);
}

}  // namespace

void MarkCuts::add(std::string_view token) {
  for (auto at = token.find(mark, 1); at != std::string_view::npos; at = token.find(mark, at + 1))
    joined_.push_back(last_character(token.substr(0, at)));
  if (token.size() == 1 && static_cast<unsigned char>(token.front()) < 0x80)
    ascii_[static_cast<unsigned char>(token.front())].is_token = true;
  for (std::size_t at = 1; at < token.size(); ++at) {
    const auto byte = static_cast<unsigned char>(token[at]);
    if (byte < 0x80 && SpaceCuts::is_of_letters(last_character(token.substr(0, at)))) ascii_[byte].is_joined = true;
  }
}

void MarkCuts::finish() {
  std::ranges::sort(joined_);
  joined_.erase(std::ranges::unique(joined_).begin(), joined_.end());
}

bool MarkCuts::may_cut_after(std::string_view text) const { return may_cut_after(last_character(text)); }

bool MarkCuts::may_cut_after(char32_t character) const { return !std::ranges::binary_search(joined_, character); }

}  // namespace isotrope

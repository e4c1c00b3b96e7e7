#include "isotrope/text/mark_cuts.h"

#include <algorithm>

#include "isotrope/text/utf8.h"

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
}

void MarkCuts::finish() {
  std::ranges::sort(joined_);
  joined_.erase(std::ranges::unique(joined_).begin(), joined_.end());
}

bool MarkCuts::may_cut_after(std::string_view text) const { return may_cut_after(last_character(text)); }

bool MarkCuts::may_cut_after(char32_t character) const { return !std::ranges::binary_search(joined_, character); }

}  // namespace isotrope

#include "isotrope/text/steps/aligned_text.h"

#include <algorithm>
#include <limits>

#include "isotrope/base/error.h"

namespace isotrope {

AlignedText::AlignedText(std::string_view text) : text_(text) {
  if (text.size() > std::numeric_limits<std::uint32_t>::max())
    throw InputError("tokenizer", "a text of {} bytes: offsets are for texts of at most 4 GiB", text.size());
  ranges_.reserve(text.size());
  std::uint32_t character = 0;
  for (std::size_t position = 0; position < text.size(); ++character) {
    next_code_point(text, position);
    ranges_.resize(position, {character, character + 1});
  }
}

void AlignedText::transform(std::span<const CharacterChange> changes, std::size_t removed) { transform(0, text_.size(), changes, removed); }

void AlignedText::transform(std::size_t begin, std::size_t end, std::span<const CharacterChange> changes, std::size_t removed) {
  auto position = begin;  // in the old text: what the next change that is not an insertion replaces
  const auto skip = [&](std::size_t characters) {
    for (; characters > 0 && position < end; --characters) next_code_point(text_, position);
  };
  skip(removed);
  std::string text;
  std::vector<TextRange> ranges;
  text.reserve(end - begin);
  ranges.reserve(end - begin);
  for (const auto& [character, change] : changes) {
    const auto range = change > 0 || position >= ranges_.size() ? before(position) : ranges_[position];
    if (change <= 0) skip(1 + static_cast<std::size_t>(-change));
    append_utf8(text, character);
    ranges.resize(text.size(), range);
  }
  if (begin == 0 && end == text_.size()) {
    text_ = std::move(text), ranges_ = std::move(ranges);
    return;
  }
  text_.replace(begin, end - begin, text);
  const auto first = ranges_.begin() + static_cast<std::ptrdiff_t>(begin);
  ranges_.insert(ranges_.erase(first, first + static_cast<std::ptrdiff_t>(end - begin)), ranges.begin(), ranges.end());
}

void AlignedText::keep(std::string& text, std::vector<TextRange>& ranges, std::size_t begin, std::size_t end) const {
  if (begin >= end) return;
  text.append(text_, begin, end - begin);
  ranges.insert(ranges.end(), ranges_.begin() + static_cast<std::ptrdiff_t>(begin), ranges_.begin() + static_cast<std::ptrdiff_t>(end));
}

void AlignedText::replace(std::string_view pattern, std::string_view content) {
  if (pattern.empty() || text_.find(pattern) == std::string::npos) return;
  replace_found(
      [&](std::string_view text, auto&& visit) {
        for (std::size_t position = 0; position < text.size();) {
          const auto found = std::min(text.find(pattern, position), text.size());
          if (found > position) visit(text.substr(position, found - position), false);
          if (found < text.size()) visit(text.substr(found, pattern.size()), true);
          position = found + pattern.size();
        }
      },
      content);
}

void AlignedText::prepend(std::string_view content) {
  if (text_.empty()) return;
  std::vector<CharacterChange> changes;
  for (std::size_t position = 0; position < content.size();)
    changes.push_back({next_code_point(content, position), changes.empty() ? 0 : 1});
  std::size_t end = 0;
  changes.push_back({next_code_point(text_, end), 1});  // the first character is replaced by the content and comes back behind it
  transform(0, end, changes, 0);
}

void AlignedText::append(std::string_view content) {
  if (text_.empty()) return;
  const auto range = ranges_.back();
  text_ += content;
  ranges_.resize(text_.size(), range);
}

void AlignedText::strip(std::size_t from_begin, std::size_t from_end) {
  from_begin = std::min(from_begin, text_.size());
  const auto end = text_.size() - std::min(from_end, text_.size() - from_begin);
  text_ = text_.substr(from_begin, end - from_begin);
  ranges_ = {ranges_.begin() + static_cast<std::ptrdiff_t>(from_begin), ranges_.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace isotrope

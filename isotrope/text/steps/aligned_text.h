#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

/// A stretch of a text: code points `begin` to `end`, the latter excluded.
struct TextRange {
  std::uint32_t begin = 0, end = 0;
  bool operator==(const TextRange&) const = default;
};

/// A character of what a text becomes, and how it came there: 0 replaces the next character of the old text, 1 is inserted after what came
/// before it, −n replaces the next one and takes out the n that follow.
struct CharacterChange {
  char32_t character = 0;
  int change = 0;
};

/// Text with the range of the original text that each of its bytes comes from: a view, which lives as long as what it was taken from.
struct AlignedView {
  std::string_view text;
  const TextRange* ranges = nullptr;  ///< [text.size()]
  std::uint32_t base = 0;             ///< where the stretch begins in the original, whatever its first byte comes from

  /// `part` must be a part of `text`.
  AlignedView slice(std::string_view part) const {
    const auto* first = ranges + (part.data() - text.data());
    return {part, first, part.empty() ? base : first->begin};
  }
  /// What the bytes begin … end − 1 come from.
  TextRange range(std::size_t begin, std::size_t end) const {
    return begin < end ? TextRange{ranges[begin].begin, ranges[end - 1].end} : TextRange{base, base};
  }
};

/// Text that remembers, for each of its bytes, which code points of the original it comes from: what offsets are made of. The semantics of
/// HF tokenizers' NormalizedString, which its offsets show: a character that replaces another has its range, an inserted one that of the
/// character before it (at the beginning: nothing, at the beginning), what is taken out belongs to nobody.
///
/// To add a step to the normalizer: write it as one of the changes below in Normalizer::apply(step, AlignedText&), aligned_normalizer.cpp.
/// To add one to the pre-tokenizer: what only cuts goes into PreTokenizer::cut() and needs nothing more; what changes text gets a case in
/// aligned_pre_tokenizer.cpp. `tokenizer check` and tests/text/steps/encoding_test.cpp compare the ids of this way with those of the fast one.
class AlignedText {
 public:
  /// `text` is valid UTF-8. Throws InputError above 4 GiB.
  explicit AlignedText(std::string_view text);
  explicit AlignedText(const AlignedView& view)
      : text_(view.text), ranges_(view.ranges, view.ranges + view.text.size()), base_(view.base) {}

  std::string_view text() const { return text_; }
  AlignedView view() const { return {text_, ranges_.data(), base_}; }

  /// The whole text becomes `changes`, after its first `removed` characters.
  void transform(std::span<const CharacterChange> changes, std::size_t removed = 0);
  /// Takes out the characters that keep(character) is false for.
  template <class Keep>
  void filter(Keep&& keep);
  /// Each character becomes map(character).
  template <class Map>
  void map(Map&& map);
  /// Each stretch that `find(text, visit)` visits as a match becomes `content`, with the range of its last character: visit(piece, is_match)
  /// gets all pieces in order.
  template <class Find>
  void replace_found(Find&& find, std::string_view content);
  void replace(std::string_view pattern, std::string_view content);
  /// Puts text before or behind the others, unless there are none.
  void prepend(std::string_view content);
  void append(std::string_view content);
  /// Takes bytes off both ends.
  void strip(std::size_t from_begin, std::size_t from_end);

 private:
  void transform(std::size_t begin, std::size_t end, std::span<const CharacterChange> changes, std::size_t removed);
  void keep(std::string& text, std::vector<TextRange>& ranges, std::size_t begin, std::size_t end) const;
  TextRange before(std::size_t position) const { return position > 0 ? ranges_[position - 1] : TextRange{base_, base_}; }

  std::string text_;
  std::vector<TextRange> ranges_;
  std::uint32_t base_ = 0;
};

template <class Keep>
void AlignedText::filter(Keep&& keep_character) {
  std::string text;
  std::vector<TextRange> ranges;
  std::size_t kept = 0;  // where the stretch of kept characters begins
  for (std::size_t position = 0; position < text_.size();) {
    const auto start = position;
    if (keep_character(next_code_point(text_, position))) continue;
    keep(text, ranges, kept, start);
    kept = position;
  }
  if (kept == 0) return;
  keep(text, ranges, kept, text_.size());
  text_ = std::move(text), ranges_ = std::move(ranges);
}

template <class Map>
void AlignedText::map(Map&& map) {
  std::vector<CharacterChange> changes;
  for (std::size_t position = 0; position < text_.size();) changes.push_back({map(next_code_point(text_, position)), 0});
  transform(changes);
}

template <class Find>
void AlignedText::replace_found(Find&& find, std::string_view content) {
  std::string text;
  std::vector<TextRange> ranges;
  find(std::string_view(text_), [&](std::string_view piece, bool is_match) {
    const auto begin = static_cast<std::size_t>(piece.data() - text_.data());
    if (!is_match) return keep(text, ranges, begin, begin + piece.size());
    text.append(content);
    ranges.resize(text.size(), before(begin + piece.size()));
  });
  text_ = std::move(text), ranges_ = std::move(ranges);
}

}  // namespace isotrope

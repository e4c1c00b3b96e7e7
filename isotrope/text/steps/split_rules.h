#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "isotrope/text/unicode/normalization.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

/// What becomes of the matches of a pattern that cuts text, as HF tokenizers names it: taken out, words of their own, glued to the piece before
/// or behind, or words of their own that lie together where they touch.
enum class SplitBehavior : std::uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };
/// The behaviour of that name ("MergedWithNext"); nothing for a name that is none.
std::optional<SplitBehavior> find_split_behavior(std::string_view name);

/// Makes words of the pieces that a pattern cuts a text into. The pieces come in order, one behind the other without gaps, matches of no
/// characters included: those part words, too. Visits no empty word.
template <class Visit>
class WordJoiner {
 public:
  WordJoiner(SplitBehavior behavior, bool invert, Visit visit) : behavior_(behavior), invert_(invert), visit_(std::move(visit)) {}

  void push(std::string_view piece, bool is_match) {
    is_match = is_match != invert_;
    const bool joins = has_piece_ && joins_last(is_match);
    if (joins) {
      piece_ = {piece_.data(), piece_.size() + piece.size()};
    } else {
      finish();
      piece_ = piece;
      has_piece_ = behavior_ != SplitBehavior::removed || !is_match;
    }
    was_match_ = is_match;
  }
  /// Must be called at the end of the text.
  void finish() {
    if (has_piece_ && !piece_.empty()) visit_(piece_);
    has_piece_ = false;
  }

 private:
  bool joins_last(bool is_match) const {
    switch (behavior_) {
      case SplitBehavior::merged_with_previous: return is_match && !was_match_;
      case SplitBehavior::merged_with_next: return !is_match && was_match_;
      case SplitBehavior::contiguous: return is_match == was_match_;
      default: return false;
    }
  }

  SplitBehavior behavior_;
  bool invert_, has_piece_ = false, was_match_ = false;
  std::string_view piece_;
  Visit visit_;
};

/// Cuts text with each character that belongs(code point) holds for as a match.
template <class Belongs, class Visit>
void split_at_characters(std::string_view text, SplitBehavior behavior, const Belongs& belongs, const Visit& visit) {
  WordJoiner joiner(behavior, false, std::cref(visit));
  std::size_t start = 0;
  for (std::size_t position = 0; position < text.size();) {
    const auto here = position;
    if (!belongs(next_code_point(text, position))) continue;
    if (here > start) joiner.push(text.substr(start, here - start), false);
    joiner.push(text.substr(here, position - here), true);
    start = position;
  }
  if (start < text.size()) joiner.push(text.substr(start), false);
  joiner.finish();
}

using WordVisit = std::function<void(std::string_view)>;

/// Runs of word characters and runs of what is neither that nor white space: \w+|[^\w\s]+ (Whitespace).
void split_words(std::string_view text, const WordVisit& visit);
/// Where the script changes; Hiragana, Katakana and Han are one, and characters of no script stay with what comes before them. What comes
/// before the first character of a script is left out, as in HF tokenizers.
void split_scripts(std::string_view text, const WordVisit& visit);
/// Pieces of `length` characters > 0, the last may be shorter.
void split_by_length(std::string_view text, std::size_t length, const WordVisit& visit);

}  // namespace isotrope

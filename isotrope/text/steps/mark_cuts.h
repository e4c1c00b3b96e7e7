#pragma once

#include <array>
#include <string_view>
#include <vector>

namespace isotrope {

/// Where text that SentencePiece spells can be cut so that no token lies across: before a "▁", unless the character before it stands before
/// a "▁" in some token, too.
class MarkCuts {
 public:
  static constexpr std::string_view mark = "\u2581";  ///< what SentencePiece writes for a space
  /// Takes in a token that a cut must not part. All of them, and then finish(), before the first question.
  void add(std::string_view token);
  void finish();
  /// Visits the parts of `text` in order.
  template <class Visit>
  void for_each_part(std::string_view text, Visit&& visit) const {
    std::size_t start = 0;
    for (auto at = find(text, 1); at < text.size(); at = find(text, at + 1)) {
      if (!may_cut_after(text.substr(start, at - start))) continue;
      visit(text.substr(start, at - start));
      start = at;
    }
    visit(text.substr(start));
  }
  /// Whether a cut may follow `text`, which is not empty, before a "▁".
  bool may_cut_after(std::string_view text) const;
  /// Whether a cut may follow any character but "▁".
  bool joins_only_marks() const { return joined_.empty() || (joined_.size() == 1 && joined_.front() == U'\u2581'); }
  /// Whether the character may stand before a cut.
  bool may_cut_after(char32_t character) const;
  /// Whether a cut may be before an ASCII character, too, when a letter or a mark stands before it: no token has both, and it is one itself.
  bool may_cut_before(unsigned char ascii) const { return ascii_[ascii].is_token && !ascii_[ascii].is_joined; }

 private:
  static std::size_t find(std::string_view text, std::size_t position) { return text.find(mark, position); }

  struct Ascii {
    bool is_token = false, is_joined = false;
  };
  std::vector<char32_t> joined_;  ///< sorted
  std::array<Ascii, 128> ascii_{};
};

}  // namespace isotrope

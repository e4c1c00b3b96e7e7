#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/unicode/graphemes.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

/// SentencePiece's precompiled_charsmap: strings and what each becomes, in a double array of darts-clone (4 bytes of its size, units of
/// 4 bytes, the texts, each ending in NUL). Checked when it is read: no lookup leaves it. Immutable, thread-safe.
class Charsmap {
 public:
  /// Throws InputError for a blob that is broken, or whose texts are not UTF-8.
  Charsmap(std::string_view blob, std::string_view file);

  struct Match {
    std::size_t length = 0;  ///< bytes of the text that it stands for; 0: there is none
    std::string_view becomes = {};
  };
  /// Of all entries that begin the text the longest: what sentencepiece takes.
  Match longest(std::string_view text) const;
  /// … and the shortest: what HF tokenizers takes.
  Match shortest(std::string_view text) const;
  /// Whether no entry begins with the code point or is a part of it.
  bool is_untouched(char32_t code_point) const { return !(flags(code_point) & touched); }
  /// Whether a code point stays what it is wherever entries of several characters leave it.
  bool keeps(char32_t code_point) const { return !(flags(code_point) & changes_alone); }
  /// Whether it is a cluster of its own besides, beside others that are.
  bool keeps_apart(char32_t code_point) const { return !(flags(code_point) & (changes_alone | joins)); }
  /// Whether a code point stays what it is, and no entry ends with it.
  bool stands_alone(char32_t code_point) const { return begins_only(code_point) && keeps(code_point); }
  /// Whether the ASCII character becomes a space, wherever it stands.
  bool is_space(unsigned char ascii) const;
  /// Whether no entry has the code point behind its first character.
  bool begins_only(char32_t code_point) const { return has_whole_characters_ && !(flags(code_point) & inner); }
  /// Whether all entries are made of whole characters.
  bool has_whole_characters() const { return has_whole_characters_; }
  /// Whether text can be cut before a space behind a character that keeps(): a space stays one, no entry has a space behind its first byte,
  /// none of several characters becomes nothing or text that ends in a space or "▁", and all are made of whole characters.
  bool allows_cuts_before_spaces() const { return allows_cuts_before_spaces_; }

  /// The text as the normalizer Precompiled of HF tokenizers leaves it, by grapheme clusters: one of less than 6 bytes becomes what its
  /// shortest prefix in the map becomes; where there is none, and in longer ones, that holds for each code point.
  /// visit(part, becomes, is_changed)  in order, for parts of the text, which is valid UTF-8
  template <class Visit>
  void for_each_part(std::string_view text, Visit&& visit) const {
    const auto& graphemes = GraphemeTable::instance();
    std::size_t start = 0;
    for (std::size_t position = 0; (position = next_cluster(text, position)) < text.size();) {
      if (position > start) visit(text.substr(start, position - start), text.substr(start, position - start), false);
      const auto cluster = text.substr(position, graphemes.length(text, position));
      position += cluster.size();
      start = position;
      const auto change = cluster.size() < 6 ? shortest(cluster) : Match{};
      if (change.length > 0) {
        visit(cluster, change.becomes, true);
        continue;
      }
      for (std::size_t at = 0; at < cluster.size();) {
        const auto from = at;
        next_code_point(cluster, at);
        const auto part = cluster.substr(from, at - from);
        const auto one = shortest(part);
        visit(part, one.length > 0 ? one.becomes : part, one.length > 0);
      }
    }
    if (start < text.size()) visit(text.substr(start), text.substr(start), false);
  }
  /// Whether for_each_part() has nothing to look at.
  bool leaves_alone(std::string_view text) const { return next_cluster(text, 0) == text.size(); }

 private:
  /// joins: may be of one cluster with a neighbour; inner: some entry has it behind its first character
  static constexpr std::uint8_t touched = 1, changes_alone = 2, joins = 4, inner = 8;

  std::uint8_t flags(char32_t code_point) const { return flags_[std::size_t{pages_[code_point >> 8]} << 8 | (code_point & 0xFF)]; }
  template <class Found>
  void walk(std::string_view text, Found&& found) const;
  std::string_view text_at(std::uint32_t unit) const;
  void check_units(std::string_view file) const;
  void find_flags();
  void mark(char32_t code_point, std::uint8_t flag);
  void find_inner(std::vector<std::uint32_t> nodes);
  /// The first cluster at or after the boundary `position` that may change; text.size() when there is none.
  std::size_t next_cluster(std::string_view text, std::size_t position) const;

  std::vector<std::uint32_t> units_;
  std::string texts_;
  std::vector<std::uint16_t> pages_ = std::vector<std::uint16_t>(0x1100);
  std::vector<std::uint8_t> flags_ = std::vector<std::uint8_t>(256);
  std::array<bool, 128> ascii_quiet_{};
  bool allows_cuts_before_spaces_ = true, has_whole_characters_ = true;
};

}  // namespace isotrope

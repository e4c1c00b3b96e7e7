#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/normalizer.h"
#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

/// An entry of tokenizer.json's added_tokens: text that is recognised before the pre-tokenizer sees it.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false;  ///< only between characters that are no word characters
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space after it
  bool normalized = false;   ///< matched in a second pass, over what the normalizer makes of what the first left
  bool special = false;
};

/// Finds added tokens in text as HF tokenizers does: leftmost first, longest first at one place, in two passes: first those that are not
/// `normalized`, then the others, in normalized form, in what the normalizer makes of the rest. Immutable, thread-safe.
class AddedTokenMatcher {
 public:
  /// The normalizer must outlive the matcher.
  AddedTokenMatcher(std::vector<AddedToken> tokens, const Normalizer& normalizer);

  /// A stretch of text: an added token with its entry, or normalized text between them with null, which lives until visit returns.
  /// begins_text: nothing comes before it.
  using Visit = std::function<void(std::string_view text, const AddedToken* token, bool begins_text)>;
  /// Visits the stretches of `text` in order. parse_special false: special tokens are plain text. exact_beginning: where the normalizer takes out
  /// the first characters, what is left does not begin the text, as HF tokenizers has it.
  void split(std::string_view text, bool parse_special, const Visit& visit, bool exact_beginning = false) const;

  /// The same with where each stretch comes from: the slow way, for offsets.
  using AlignedVisit = std::function<void(const AlignedView& text, const AddedToken* token)>;
  void split(const AlignedText& text, bool parse_special, const AlignedVisit& visit) const;

  /// The first pass alone: stretches between tokens that are not `normalized` are visited as they stand, without normalization.
  void split_verbatim(std::string_view text, bool parse_special, const Visit& visit) const {
    split_pass(verbatim_, text, parse_special, visit);
  }
  /// Whether that is all there is to do, but for normalization.
  bool is_verbatim() const { return normalized_.nodes.size() == 1; }

  /// How each token is looked for, by its place in the list: a `normalized` one in normalized form. HF's decode writes it so, too.
  const std::vector<std::string>& patterns() const { return patterns_; }
  /// Whether cutting text between an ASCII letter and a space can never change what is found.
  bool allow_cuts_before_spaces() const;
  /// Whether text can be cut between these bytes, a character's last one and ASCII, so that the first pass finds the same in the parts, and
  /// what stands behind the cut does not follow a token.
  bool may_cut_between(unsigned char before, unsigned char at) const { return !ends_[before] && !contains_[at]; }

 private:
  /// A byte trie; siblings are a linked list. Node 0 is the root.
  struct Node {
    unsigned char byte = 0;
    std::int32_t token = -1, child = -1, sibling = -1;
  };
  struct Trie {
    std::vector<Node> nodes = std::vector<Node>(1);
    bool starts[256] = {};
    std::string first_bytes;   ///< those of `starts`
    int second_byte = absent;  ///< what stands second in every token
    static constexpr int absent = -1, differing = -2;
    void insert(std::string_view content, std::int32_t token);
    std::int32_t longest(std::string_view text) const;  ///< index of the longest token at the start of text, or −1
    /// The first place at or after `position` where a token may begin, or text.size().
    std::size_t next_start(std::string_view text, std::size_t position) const;
  };

  void split_pass(const Trie& trie, std::string_view text, bool parse_special, const Visit& visit) const;

  const Normalizer& normalizer_;
  std::vector<AddedToken> tokens_;
  std::vector<std::string> patterns_;
  std::array<bool, 256> ends_{}, contains_{};  ///< by byte: some pattern ends with it, has it
  Trie verbatim_, normalized_;
};

}  // namespace isotrope

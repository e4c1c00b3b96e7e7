#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// An entry of tokenizer.json's added_tokens: text that is recognised before the pre-tokenizer sees it.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false;  ///< only between characters that are no word characters
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space after it
  bool normalized = false;   ///< matched in a second pass, over what the first left
  bool special = false;
};

/// Finds added tokens in text as HF tokenizers does: leftmost first, longest first at one place, in two passes. Immutable, thread-safe.
class AddedTokenMatcher {
 public:
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  using Visit = std::function<void(std::string_view text, const AddedToken* token)>;
  /// Visits the stretches of `text` in order: added tokens with their entry, the text between them with null.
  /// parse_special false: special tokens are plain text.
  void split(std::string_view text, bool parse_special, const Visit& visit) const;

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  /// Whether cutting text between an ASCII letter and a space can never change what is found.
  bool allow_cuts_before_spaces() const;

 private:
  /// A byte trie; siblings are a linked list. Node 0 is the root.
  struct Node {
    unsigned char byte = 0;
    std::int32_t token = -1, child = -1, sibling = -1;
  };
  struct Trie {
    std::vector<Node> nodes = std::vector<Node>(1);
    bool starts[256] = {};
    std::string first_bytes;  ///< those of `starts`
    void insert(std::string_view content, std::int32_t token);
    std::int32_t longest(std::string_view text) const;  ///< index of the longest token at the start of text, or −1
    /// The first place at or after `position` where a token may begin, or text.size().
    std::size_t next_start(std::string_view text, std::size_t position) const;
  };

  void split_pass(const Trie& trie, std::string_view text, bool parse_special, const Visit& visit) const;

  std::vector<AddedToken> tokens_;
  Trie verbatim_, normalized_;
};

}  // namespace isotrope

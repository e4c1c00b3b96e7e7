#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isotrope/text/models/cached_words.h"
#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// A trie over bytes in one flat table: following it costs one look at memory a byte. Immutable once filled.
class ByteTrie {
 public:
  static constexpr std::uint32_t root = 0;
  void insert(std::string_view word, TokenId id);
  struct Match {
    TokenId id = -1;
    std::size_t length = 0;  ///< 0: nothing matches
  };
  /// The longest inserted word at the start of `text`.
  Match longest(std::string_view text) const;

 private:
  struct Edge {
    std::uint64_t key = 0;  ///< (node + 1) << 8 | byte; 0: empty
    std::uint32_t node = 0;
  };
  std::uint32_t child(std::uint32_t node, unsigned char byte) const;
  void grow();
  static std::uint64_t key_of(std::uint32_t node, unsigned char byte) { return (std::uint64_t{node} + 1) << 8 | byte; }
  std::size_t place_of(std::uint64_t key) const { return key * 0x9E3779B97F4A7C15u >> shift_; }

  std::vector<Edge> edges_ = std::vector<Edge>(64);  ///< at most half full
  unsigned shift_ = 64 - 6;
  std::vector<TokenId> tokens_ = std::vector<TokenId>(1, -1);  ///< by node
};

/// WordPiece (Wu et al. 2016, as BERT uses it): the longest token that begins a word, then the longest that continues it, and so on; a word
/// with a part that no token covers is unknown as a whole. Immutable, thread-safe; the time grows with the word times the longest token.
class WordPiece {
 public:
  explicit WordPiece(const TokenizerDefinition& definition);
  using Worker = CachedWorker<WordPiece>;
  void encode_word(std::string_view word, std::vector<TokenId>& ids) const;
  const CachedWordsPool& caches() const { return caches_; }

 private:
  WordPieceDefinition definition_;
  ByteTrie beginnings_, continuations_;
  CachedWordsPool caches_;
};

}  // namespace isotrope

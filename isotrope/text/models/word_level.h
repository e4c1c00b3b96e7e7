#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// Words that are tokens as a whole, all others are the unknown one. Immutable, thread-safe.
class WordLevel {
 public:
  explicit WordLevel(const TokenizerDefinition& definition);

  class Worker {
   public:
    explicit Worker(const WordLevel& model) : model_(model) {}
    void encode_word(std::string_view word, std::vector<TokenId>& ids) { model_.encode_word(word, ids); }

   private:
    const WordLevel& model_;
  };
  /// Throws InputError for an unknown word where there is no unknown token.
  void encode_word(std::string_view word, std::vector<TokenId>& ids) const;

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  TokenId unknown_;
  std::string file_;
  std::unordered_map<std::string, TokenId, Hash, std::equal_to<>> ids_;
};

}  // namespace isotrope

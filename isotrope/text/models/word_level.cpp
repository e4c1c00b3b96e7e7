#include "isotrope/text/models/word_level.h"

#include "isotrope/base/error.h"

namespace isotrope {

WordLevel::WordLevel(const TokenizerDefinition& definition)
    : unknown_(std::get<WordLevelDefinition>(definition.model).unknown), file_(definition.file) {
  for (std::size_t id = 0; id < definition.names.size(); ++id)
    if (definition.in_model[id]) ids_.emplace(definition.names[id], static_cast<TokenId>(id));
}

void WordLevel::encode_word(std::string_view word, std::vector<TokenId>& ids) const {
  const auto found = ids_.find(word);
  if (found == ids_.end() && unknown_ == no_token)
    throw InputError("tokenizer", "{}: the word \"{}\" is not in the vocabulary, which has no unk_token", file_, word.substr(0, 100));
  ids.push_back(found == ids_.end() ? unknown_ : found->second);
}

}  // namespace isotrope

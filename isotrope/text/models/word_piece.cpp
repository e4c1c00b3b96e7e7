#include "isotrope/text/models/word_piece.h"

#include <algorithm>

#include "isotrope/text/steps/byte_alphabet.h"

namespace isotrope {

std::uint32_t ByteTrie::child(std::uint32_t node, unsigned char byte) const {
  const auto key = key_of(node, byte);
  for (auto place = place_of(key);; place = (place + 1) & (edges_.size() - 1)) {
    if (edges_[place].key == key) return edges_[place].node;
    if (edges_[place].key == 0) return root;
  }
}

void ByteTrie::grow() {
  auto old = std::move(edges_);
  edges_.assign(old.size() * 2, Edge{});
  --shift_;
  for (const auto& edge : old) {
    if (edge.key == 0) continue;
    auto place = place_of(edge.key);
    while (edges_[place].key != 0) place = (place + 1) & (edges_.size() - 1);
    edges_[place] = edge;
  }
}

void ByteTrie::insert(std::string_view word, TokenId id) {
  auto node = root;
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    auto next = child(node, byte);
    if (next == root) {
      if (tokens_.size() * 2 > edges_.size()) grow();
      next = static_cast<std::uint32_t>(tokens_.size());
      tokens_.push_back(-1);
      const auto key = key_of(node, byte);
      auto place = place_of(key);
      while (edges_[place].key != 0) place = (place + 1) & (edges_.size() - 1);
      edges_[place] = {key, next};
    }
    node = next;
  }
  tokens_[node] = id;
}

ByteTrie::Match ByteTrie::longest(std::string_view text) const {
  Match best;
  auto node = root;
  for (std::size_t i = 0; i < text.size(); ++i) {
    node = child(node, static_cast<unsigned char>(text[i]));
    if (node == root) break;
    if (tokens_[node] >= 0) best = {tokens_[node], i + 1};
  }
  return best;
}

WordPiece::WordPiece(const TokenizerDefinition& definition) : definition_(std::get<WordPieceDefinition>(definition.model)) {
  for (std::size_t id = 0; id < definition.names.size(); ++id) {
    if (!definition.in_model[id]) continue;
    auto spelled = definition_.byte_level ? unspell_bytes(definition.names[id]) : definition.names[id];
    if (!spelled || spelled->empty()) continue;
    std::string_view name = *spelled;
    beginnings_.insert(name, static_cast<TokenId>(id));
    if (definition_.prefix.empty() || !name.starts_with(definition_.prefix)) continue;
    name.remove_prefix(definition_.prefix.size());
    if (!name.empty()) continuations_.insert(name, static_cast<TokenId>(id));
  }
}

void WordPiece::encode_word(std::string_view word, std::vector<TokenId>& ids) const {
  const auto characters = std::ranges::count_if(word, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
  if (static_cast<std::uint64_t>(characters) > definition_.longest_word) return ids.push_back(definition_.unknown);
  const auto before = ids.size();
  const auto& continuations = definition_.prefix.empty() ? beginnings_ : continuations_;
  for (std::size_t position = 0; position < word.size();) {
    const auto match = (position == 0 ? beginnings_ : continuations).longest(word.substr(position));
    if (match.length == 0) {
      ids.resize(before);
      return ids.push_back(definition_.unknown);
    }
    ids.push_back(match.id);
    position += match.length;
  }
}

}  // namespace isotrope

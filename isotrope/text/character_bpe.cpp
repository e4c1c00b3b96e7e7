#include "isotrope/text/character_bpe.h"

#include <algorithm>
#include <queue>

#include "isotrope/base/error.h"
#include "isotrope/text/utf8.h"

namespace isotrope {

namespace {

constexpr std::string_view mark = "\u2581";  // what SentencePiece writes for a space

bool is_one_character(std::string_view text) {
  std::size_t position = 0;
  if (!text.empty()) next_code_point(text, position);
  return position > 0 && position == text.size();
}

/// The character that ends `text`, which is not empty.
char32_t last_character(std::string_view text) {
  auto position = text.size() - 1;
  while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80) --position;
  return next_code_point(text, position);
}

}  // namespace

CharacterBpe::CharacterBpe(const TokenizerDefinition& definition) : definition_(std::get<BpeDefinition>(definition.model)) {
  byte_ids_.fill(-1);
  const bool has_affixes = !definition_.prefix.empty() || !definition_.suffix.empty();
  for (std::size_t id = 0; id < definition.names.size(); ++id) {
    const std::string_view name = definition.names[id];
    if (!definition.in_model[id]) continue;
    if (definition_.ignore_merges || has_affixes || is_one_character(name)) ids_.emplace(name, static_cast<TokenId>(id));
    if (definition_.byte_fallback)
      if (const auto byte = fallback_byte(name)) byte_ids_[*byte] = static_cast<TokenId>(id);
  }
  merges_.reserve(definition_.merges.size());
  for (std::size_t rank = 0; rank < definition_.merges.size(); ++rank) {
    const auto& [left, right, result] = definition_.merges[rank];
    merges_[pair(left, right)] = {static_cast<std::uint32_t>(rank), result};  // of equal pairs the last counts, as in HF tokenizers
    const auto& name = definition.names[static_cast<std::size_t>(result)];
    for (auto at = name.find(mark, 1); at != std::string::npos; at = name.find(mark, at + 1))
      joined_to_marks_.push_back(last_character(std::string_view(name).substr(0, at)));
  }
  std::ranges::sort(joined_to_marks_);
  joined_to_marks_.erase(std::ranges::unique(joined_to_marks_).begin(), joined_to_marks_.end());
  cuts_at_marks_ = !definition_.ignore_merges && !has_affixes && ids_.contains(mark);
}

bool CharacterBpe::may_be_cut_after(std::string_view text) const {
  return !std::ranges::binary_search(joined_to_marks_, last_character(text));
}

template <class Visit>
void CharacterBpe::for_each_part(std::string_view word, Visit&& visit) const {
  std::size_t start = 0;
  if (cuts_at_marks_) {
    for (auto at = word.find(mark, 1); at < word.size(); at = word.find(mark, at + 1)) {
      if (!may_be_cut_after(word.substr(start, at - start))) continue;
      visit(word.substr(start, at - start));
      start = at;
    }
  }
  visit(word.substr(start));
}

void CharacterBpe::Worker::encode_word(std::string_view word, std::vector<TokenId>& ids) {
  model().for_each_part(word, [&](std::string_view part) { CachedWorker::encode_word(part, ids); });
}

void CharacterBpe::encode_word(std::string_view word, std::vector<TokenId>& ids) const {
  if (definition_.ignore_merges)
    if (const auto whole = ids_.find(word); whole != ids_.end()) return ids.push_back(whole->second);
  std::vector<TokenId> tokens;
  tokens.reserve(word.size());
  spell(word, tokens);
  merge(tokens, ids);
}

void CharacterBpe::align_word(std::string_view word, std::vector<WordToken>& aligned) const {
  const auto size = static_cast<std::uint32_t>(word.size());
  if (definition_.ignore_merges)
    if (const auto whole = ids_.find(word); whole != ids_.end()) return aligned.push_back({.id = whole->second, .end = size});
  std::uint32_t begin = 0;  // counts on over the parts: characters that drop out are not in it, as in HF tokenizers
  for_each_part(word, [&](std::string_view part) {
    std::vector<TokenId> tokens, ids;
    std::vector<std::uint32_t> lengths;
    std::vector<std::int32_t> starts;
    spell(part, tokens, &lengths);
    merge(tokens, ids, &starts);
    starts.push_back(static_cast<std::int32_t>(lengths.size()));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      auto end = begin;
      for (auto token = starts[i]; token < starts[i + 1]; ++token) end += lengths[static_cast<std::size_t>(token)];
      aligned.push_back({.id = ids[i], .begin = begin, .end = end});
      begin = end;
    }
  });
}

void CharacterBpe::spell(std::string_view word, std::vector<TokenId>& tokens, std::vector<std::uint32_t>* lengths) const {
  std::uint32_t unknown =
      0;  // bytes that wait: HF tokenizers puts them down before the next character that it knows, or the next unknown one
  const auto put = [&](TokenId token, std::size_t length) {
    tokens.push_back(token);
    if (lengths) lengths->push_back(static_cast<std::uint32_t>(length));
  };
  const auto put_unknown = [&] {
    if (unknown > 0) put(*definition_.unknown, unknown);
    unknown = 0;
  };
  const bool has_affixes = !definition_.prefix.empty() || !definition_.suffix.empty();
  std::string affixed;
  for (std::size_t position = 0; position < word.size();) {
    const auto start = position;
    next_code_point(word, position);
    auto character = word.substr(start, position - start);
    if (has_affixes) {
      affixed = start > 0 ? definition_.prefix : "";
      affixed.append(character).append(position == word.size() ? definition_.suffix : "");
      character = affixed;
    }
    if (const auto found = ids_.find(character); found != ids_.end()) {
      put_unknown();
      put(found->second, position - start);
      continue;
    }
    const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
    if (definition_.byte_fallback && std::ranges::all_of(character, [&](char byte) { return byte_id(byte) >= 0; })) {
      for (const char byte : character) put(byte_id(byte), 1);
      continue;
    }
    if (!definition_.unknown) continue;
    if (!definition_.fuse_unknown) put_unknown();
    unknown += static_cast<std::uint32_t>(position - start);
  }
  put_unknown();
}

void CharacterBpe::merge(std::vector<TokenId>& tokens, std::vector<TokenId>& ids, std::vector<std::int32_t>* starts) const {
  struct Candidate {
    std::uint32_t rank;
    std::int32_t position;
    TokenId left, right, result;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : position > other.position; }
  };
  if (tokens.size() > INT32_MAX)
    throw InputError("tokenizer", "a word of {} characters is longer than the limit of {}", tokens.size(), INT32_MAX);
  const auto size = static_cast<std::int32_t>(tokens.size());
  std::vector<std::int32_t> next(tokens.size()), previous(tokens.size());  // −1 at the ends; token −1: merged away
  for (std::int32_t i = 0; i < size; ++i) next[i] = i + 1 < size ? i + 1 : -1, previous[i] = i - 1;
  std::vector<Candidate> initial;
  const auto candidate = [&](std::int32_t left, auto&& push) {
    const auto right = left < 0 ? -1 : next[left];
    if (right < 0) return;
    if (const auto found = merges_.find(pair(tokens[left], tokens[right])); found != merges_.end())
      push(Candidate{found->second.rank, left, tokens[left], tokens[right], found->second.result});
  };
  for (std::int32_t i = 0; i < size; ++i) candidate(i, [&](Candidate found) { initial.push_back(found); });
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue({}, std::move(initial));
  const auto push = [&](Candidate found) { queue.push(found); };
  while (!queue.empty()) {
    const auto best = queue.top();
    queue.pop();
    const auto left = best.position, right = next[left];
    if (tokens[left] != best.left || right < 0 || tokens[right] != best.right) continue;  // one of the two is gone
    tokens[left] = best.result;
    tokens[right] = -1;
    next[left] = next[right];
    if (next[left] >= 0) previous[next[left]] = left;
    candidate(previous[left], push);
    candidate(left, push);
  }
  for (std::int32_t i = 0; i >= 0 && i < size; i = next[i]) {
    ids.push_back(tokens[i]);
    if (starts) starts->push_back(i);
  }
}

}  // namespace isotrope

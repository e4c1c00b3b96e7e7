#include "isotrope/text/models/character_bpe.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>

#include "isotrope/base/error.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

constexpr std::size_t longest_short_word = 48;  // tokens, up to which looking at all neighbours is quicker than a heap

std::optional<char32_t> only_character(std::string_view text) {
  std::size_t position = 0;
  if (text.empty()) return std::nullopt;
  const auto character = next_code_point(text, position);
  return position == text.size() ? std::optional(character) : std::nullopt;
}

}  // namespace

struct CharacterBpe::Scratch {
  std::vector<TokenId> tokens;
  Merge merges[longest_short_word];
};

CharacterBpe::CharacterBpe(const TokenizerDefinition& definition) : definition_(std::get<BpeDefinition>(definition.model)) {
  using Type = PieceType;
  byte_ids_.fill(-1);
  has_affixes_ = !definition_.prefix.empty() || !definition_.suffix.empty();
  std::vector<std::pair<std::string_view, std::int32_t>> whole;
  for (std::size_t id = 0; id < definition.names.size(); ++id) {
    const std::string_view name = definition.names[id];
    if (!definition.in_model[id]) continue;
    const auto type = definition.sentencepiece ? static_cast<Type>(definition.sentencepiece->type_of(id)) : Type::normal;
    if (definition_.byte_fallback)
      if (const auto byte = fallback_byte(name)) byte_ids_[*byte] = static_cast<TokenId>(id);
    if (type == Type::user_defined) {
      whole.emplace_back(name, static_cast<std::int32_t>(id));
      cuts_.add(name);
    }
    if (type != Type::normal) continue;
    if (definition_.ignore_merges || has_affixes_) words_.emplace(name, static_cast<TokenId>(id));
    if (const auto character = only_character(name)) set_character(*character, static_cast<TokenId>(id)), cuts_.add(name);
  }
  if (!whole.empty()) user_defined_.emplace(std::move(whole), definition.file);
  build_merges(definition);
  cuts_.finish();
  cuts_at_marks_ = !definition_.ignore_merges && !has_affixes_ && find_character(U'\u2581') >= 0;
}

void CharacterBpe::set_character(char32_t code_point, TokenId id) {
  auto& page = pages_[code_point >> 8];
  if (page == 0) {
    page = static_cast<std::uint16_t>(characters_.size() >> 8);
    characters_.resize(characters_.size() + 256, -1);
  }
  characters_[std::size_t{page} << 8 | (code_point & 0xFF)] = id;
}

void CharacterBpe::build_merges(const TokenizerDefinition& definition) {
  const auto& merges = definition_.merges;
  const auto* rules = definition.sentencepiece ? &*definition.sentencepiece : nullptr;
  const auto size = std::bit_ceil(merges.size() * 2 + 2);
  slots_.resize(size);
  slot_shift_ = 64 - static_cast<unsigned>(std::countr_zero(size));
  const auto bits = std::bit_ceil(std::max<std::size_t>(merges.size() * 8, 64));
  filter_.resize(bits / 64);
  filter_shift_ = 64 - static_cast<unsigned>(std::countr_zero(bits));
  for (std::size_t index = 0; index < merges.size(); ++index) {
    const auto& [left, right, result] = merges[index];
    const auto key = std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
    const auto hashed = hash(key);
    filter_[hashed >> filter_shift_ >> 6] |= std::uint64_t{1} << (hashed >> filter_shift_ & 63);
    auto place = hashed * 0xD6E8FEB86659FD93u >> slot_shift_;
    while (slots_[place].merge.result >= 0 && slots_[place].key != key) place = (place + 1) & (size - 1);
    const auto rank = rules && !rules->merge_ranks.empty() ? rules->merge_ranks[index] : static_cast<std::uint32_t>(index);
    slots_[place] = {key, {rank, result}};  // of equal pairs the last counts, as in HF tokenizers
    cuts_.add(definition.names[static_cast<std::size_t>(result)]);
    if (rules && static_cast<PieceType>(rules->type_of(static_cast<std::size_t>(result))) == PieceType::unused)
      unused_[result] = {left, right};
  }
  definition_.merges = {};
}

CharacterBpe::Worker::Worker(const CharacterBpe& model) : model_(model), words_(model.caches_.take()), scratch_(new Scratch) {}
CharacterBpe::Worker::~Worker() { model_.caches_.give(std::move(words_)); }

void CharacterBpe::Worker::compute_word(std::string_view word, std::vector<TokenId>& ids) {
  if (!model_.cuts_at_marks_) return model_.encode(word, *scratch_, ids);
  model_.cuts_.for_each_part(word, [&](std::string_view part) { model_.encode(part, *scratch_, ids); });
}

void CharacterBpe::Worker::encode_word(std::string_view word, std::vector<TokenId>& ids) {
  const auto encode = [&](std::string_view part) {
    words_->encode(part, ids, [&](std::string_view text, std::vector<TokenId>& out) { model_.encode(text, *scratch_, out); });
  };
  if (model_.cuts_at_marks_) model_.cuts_.for_each_part(word, encode);
  else encode(word);
}

void CharacterBpe::encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const {
  if (definition_.ignore_merges)
    if (const auto whole = find_word(word); whole >= 0) return ids.push_back(whole);
  auto& tokens = scratch.tokens;
  tokens.clear();
  spell(word, tokens);
  if (tokens.size() <= longest_short_word) merge_short(tokens, scratch);
  else merge_long(tokens);
  if (unused_.empty()) ids.insert(ids.end(), tokens.begin(), tokens.end());
  else
    for (const auto token : tokens) append_parts(token, ids);
}

void CharacterBpe::spell(std::string_view word, std::vector<TokenId>& tokens, std::vector<std::uint32_t>* lengths) const {
  std::size_t unknown =
      0;  // bytes that wait: HF tokenizers puts them down before the next character that it knows, or the next unknown one
  const auto put = [&](TokenId token, std::size_t length) {
    tokens.push_back(token);
    if (lengths) lengths->push_back(static_cast<std::uint32_t>(length));
  };
  const auto put_unknown = [&] {
    if (unknown > 0) put(*definition_.unknown, unknown);
    unknown = 0;
  };
  std::string affixed;
  for (std::size_t position = 0; position < word.size();) {
    const auto start = position;
    if (user_defined_) {
      if (const auto [id, length] = find_user_defined(word.substr(position)); length > 0) {
        put_unknown();
        put(id, length);
        position += length;
        continue;
      }
    }
    const auto code_point = next_code_point(word, position);
    auto character = word.substr(start, position - start);
    if (has_affixes_) {
      affixed = start > 0 ? definition_.prefix : "";
      affixed.append(character).append(position == word.size() ? definition_.suffix : "");
      character = affixed;
    }
    const auto id = has_affixes_ ? find_word(character) : find_character(code_point);
    if (id >= 0) {
      put_unknown();
      put(id, position - start);
      continue;
    }
    const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
    if (definition_.byte_fallback && std::ranges::all_of(character, [&](char byte) { return byte_id(byte) >= 0; })) {
      for (const char byte : character) put(byte_id(byte), 1);
      continue;
    }
    if (!definition_.unknown) continue;
    if (!definition_.fuse_unknown) put_unknown();
    unknown += position - start;
  }
  put_unknown();
}

TokenId CharacterBpe::find_word(std::string_view word) const {
  const auto found = words_.find(word);
  return found == words_.end() ? -1 : found->second;
}

std::pair<TokenId, std::size_t> CharacterBpe::find_user_defined(std::string_view text) const {
  std::pair<TokenId, std::size_t> longest{-1, 0};
  std::int32_t value = -1;
  auto state = user_defined_->root();
  for (std::size_t i = 0; i < text.size() && user_defined_->step(state, static_cast<unsigned char>(text[i]), value); ++i)
    if (value >= 0) longest = {value, i + 1};
  return longest;
}

void CharacterBpe::align_word(std::string_view word, std::vector<WordToken>& aligned) const {
  const auto size = static_cast<std::uint32_t>(word.size());
  if (definition_.ignore_merges)
    if (const auto whole = find_word(word); whole >= 0) return aligned.push_back({.id = whole, .end = size});
  std::uint32_t begin = 0;  // counts on over the parts: characters that drop out are not in it, as in HF tokenizers
  const auto align_part = [&](std::string_view part) {
    std::vector<TokenId> tokens, pieces;
    std::vector<std::uint32_t> lengths;
    std::vector<std::int32_t> starts;
    spell(part, tokens, &lengths);
    merge_long(tokens, &starts);
    starts.push_back(static_cast<std::int32_t>(lengths.size()));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      auto end = begin;
      for (auto token = starts[i]; token < starts[i + 1]; ++token) end += lengths[static_cast<std::size_t>(token)];
      pieces.clear();
      append_parts(tokens[i], pieces);
      for (const auto piece : pieces) aligned.push_back({.id = piece, .begin = begin, .end = end});
      begin = end;
    }
  };
  if (cuts_at_marks_) cuts_.for_each_part(word, align_part);
  else align_part(word);
}

void CharacterBpe::merge_short(std::vector<TokenId>& tokens, Scratch& scratch) const {
  auto size = tokens.size();
  if (size < 2) return;
  auto* merges = scratch.merges;  // of each token with the next
  for (std::size_t i = 0; i + 1 < size; ++i) merges[i] = find_merge(tokens[i], tokens[i + 1]);
  while (size > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < size; ++i)
      if (merges[i].rank < merges[best].rank) best = i;
    if (merges[best].rank == no_rank) break;
    tokens[best] = merges[best].result;
    --size;
    for (std::size_t i = best + 1; i < size; ++i) tokens[i] = tokens[i + 1];
    for (std::size_t i = best + 1; i + 1 < size; ++i) merges[i] = merges[i + 1];
    if (best > 0) merges[best - 1] = find_merge(tokens[best - 1], tokens[best]);
    if (best + 1 < size) merges[best] = find_merge(tokens[best], tokens[best + 1]);
  }
  tokens.resize(size);
}

void CharacterBpe::merge_long(std::vector<TokenId>& tokens, std::vector<std::int32_t>* starts) const {
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
    if (const auto [rank, result] = find_merge(tokens[left], tokens[right]); rank != no_rank)
      push(Candidate{rank, left, tokens[left], tokens[right], result});
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
  std::size_t count = 0;
  for (std::int32_t i = 0; i >= 0 && i < size; i = next[i]) {
    tokens[count++] = tokens[i];
    if (starts) starts->push_back(i);
  }
  tokens.resize(count);
}

/// A piece that SentencePiece calls unused is what it was merged from.
void CharacterBpe::append_parts(TokenId token, std::vector<TokenId>& ids) const {
  std::vector<TokenId> waiting{token};
  while (!waiting.empty()) {
    const auto last = waiting.back();
    waiting.pop_back();
    if (const auto parts = unused_.find(last); parts != unused_.end()) {
      waiting.push_back(parts->second.second);
      waiting.push_back(parts->second.first);
    } else {
      ids.push_back(last);
    }
  }
}

}  // namespace isotrope

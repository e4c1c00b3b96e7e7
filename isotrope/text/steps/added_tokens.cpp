#include "isotrope/text/steps/added_tokens.h"

#include <algorithm>

#include "isotrope/text/simd/find_pair.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// The position of the character that ends before `end` > 0.
std::size_t previous_character(std::string_view text, std::size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

bool word_ends_at(std::string_view text, std::size_t end) {
  if (end == 0) return false;
  auto position = previous_character(text, end);
  return UnicodeTable::instance().is_word(next_code_point(text, position));
}

bool word_starts_at(std::string_view text, std::size_t position) {
  return position < text.size() && UnicodeTable::instance().is_word(next_code_point(text, position));
}

std::size_t spaces_before(std::string_view text, std::size_t end, std::size_t limit) {
  while (end > limit) {
    const auto start = previous_character(text, end);
    auto position = start;
    if (!UnicodeTable::instance().is_space(next_code_point(text, position))) break;
    end = start;
  }
  return end;
}

std::size_t spaces_after(std::string_view text, std::size_t position) {
  for (auto next = position; next < text.size() && UnicodeTable::instance().is_space(next_code_point(text, next));) position = next;
  return position;
}

}  // namespace

void AddedTokenMatcher::Trie::insert(std::string_view content, std::int32_t token) {
  if (content.empty()) return;
  auto& begins = starts[static_cast<unsigned char>(content.front())];
  if (!begins) first_bytes += content.front();
  begins = true;
  const int second = content.size() > 1 ? static_cast<unsigned char>(content[1]) : differing;
  second_byte = second_byte == absent || second_byte == second ? second : differing;
  std::size_t node = 0;
  for (const char c : content) {
    const auto byte = static_cast<unsigned char>(c);
    auto child = nodes[node].child;
    while (child >= 0 && nodes[static_cast<std::size_t>(child)].byte != byte) child = nodes[static_cast<std::size_t>(child)].sibling;
    if (child < 0) {
      child = static_cast<std::int32_t>(nodes.size());
      nodes.push_back({.byte = byte, .sibling = nodes[node].child});
      nodes[node].child = child;
    }
    node = static_cast<std::size_t>(child);
  }
  nodes[node].token = token;
}

std::int32_t AddedTokenMatcher::Trie::longest(std::string_view text) const {
  std::int32_t best = -1;
  std::size_t node = 0;
  for (const char c : text) {
    auto child = nodes[node].child;
    while (child >= 0 && nodes[static_cast<std::size_t>(child)].byte != static_cast<unsigned char>(c))
      child = nodes[static_cast<std::size_t>(child)].sibling;
    if (child < 0) break;
    node = static_cast<std::size_t>(child);
    if (nodes[node].token >= 0) best = nodes[node].token;
  }
  return best;
}

std::size_t AddedTokenMatcher::Trie::next_start(std::string_view text, std::size_t position) const {
  if (first_bytes.size() == 1 && second_byte >= 0) return simd::find_pair(text, position, first_bytes[0], static_cast<char>(second_byte));
  if (first_bytes.size() == 1) return std::min(text.find(first_bytes[0], position), text.size());  // memchr, sixteen bytes a step and more
  while (position < text.size() && !starts[static_cast<unsigned char>(text[position])]) ++position;
  return position;
}

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens, const Normalizer& normalizer)
    : normalizer_(normalizer), tokens_(std::move(tokens)) {
  Normalizer::Scratch scratch;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const auto& token = tokens_[i];
    patterns_.emplace_back(token.normalized ? normalizer.apply(token.content, scratch) : token.content);
    (token.normalized ? normalized_ : verbatim_).insert(patterns_[i], static_cast<std::int32_t>(i));
    for (const char c : patterns_[i]) contains_[static_cast<unsigned char>(c)] = true;
    if (!patterns_[i].empty()) ends_[static_cast<unsigned char>(patterns_[i].back())] = true;
  }
}

void AddedTokenMatcher::split(std::string_view text, bool parse_special, const Visit& visit, bool exact_beginning) const {
  Normalizer::Scratch scratch;
  split_pass(verbatim_, text, parse_special, [&](std::string_view stretch, const AddedToken* token, bool begins_text) {
    if (token) return visit(stretch, token, begins_text);
    if (begins_text && exact_beginning) begins_text = normalizer_.keeps_beginning(stretch);
    split_pass(
        normalized_, normalizer_.apply(stretch, scratch), parse_special,
        [&](std::string_view part, const AddedToken* found, bool begins_stretch) { visit(part, found, begins_text && begins_stretch); });
  });
}

void AddedTokenMatcher::split(const AlignedText& text, bool parse_special, const AlignedVisit& visit) const {
  split_pass(verbatim_, text.text(), parse_special, [&](std::string_view stretch, const AddedToken* token, bool) {
    const auto slice = text.view().slice(stretch);
    if (token) return visit(slice, token);
    AlignedText normalized(slice);
    normalizer_.apply(normalized);
    split_pass(normalized_, normalized.text(), parse_special,
               [&](std::string_view part, const AddedToken* found, bool) { visit(normalized.view().slice(part), found); });
  });
}

void AddedTokenMatcher::split_pass(const Trie& trie, std::string_view text, bool parse_special, const Visit& visit) const {
  std::size_t done = 0;
  const bool empty = trie.nodes.size() == 1;
  for (std::size_t position = empty ? text.size() : 0; (position = trie.next_start(text, position)) < text.size();) {
    const auto found = trie.longest(text.substr(position));
    if (found < 0) {
      ++position;
      continue;
    }
    const auto& token = tokens_[static_cast<std::size_t>(found)];
    auto start = position, end = position + patterns_[static_cast<std::size_t>(found)].size();
    position = end;
    if (token.special && !parse_special) continue;
    if (token.single_word && (word_ends_at(text, start) || word_starts_at(text, end))) continue;
    if (start < done) continue;  // begins inside the white space that the token before it took
    if (token.lstrip) start = spaces_before(text, start, done);
    if (token.rstrip) end = spaces_after(text, end);
    if (start > done) visit(text.substr(done, start - done), nullptr, done == 0);
    visit(text.substr(start, end - start), &token, start == 0);
    done = end;
    position = std::max(position, end);
  }
  if (done < text.size()) visit(text.substr(done), nullptr, done == 0);
}

bool AddedTokenMatcher::allow_cuts_before_spaces() const {
  for (std::size_t index = 0; index < tokens_.size(); ++index) {
    const auto& content = patterns_[index];
    if (tokens_[index].rstrip && !content.empty() && is_ascii_letter(content.back())) return false;
    for (std::size_t i = 0; i < content.size(); ++i)
      if (content[i] == ' ' && (i == 0 || is_ascii_letter(content[i - 1]))) return false;
  }
  return true;
}

}  // namespace isotrope
